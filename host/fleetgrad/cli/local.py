# SPDX-License-Identifier: Apache-2.0
"""One device's training on each backend, to the same parameters bit for bit."""

from __future__ import annotations

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fleetgrad import bundle as bundles
from fleetgrad import config as configs
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.data import DeviceData, partition, read
from fleetgrad.errors import DataError, UsageError
from fleetgrad.federation.model import from_vector
from fleetgrad.store import export, layout_of
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad.toolchain.library import Library, NativeModel
from fleetgrad_codegen.bundle import Bundle as Generated
from fleetgrad_codegen.ops import run_ops
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import DeepScheme, deep_training, device_head
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, Parameters, batches, train

from .backends import NATIVE, REFERENCE, Model, emulated_board, open_backend
from .bundles import scheme_of

TRAINERS: Final = (REFERENCE, NATIVE)
ROUND: Final = 1  # what a device does here is what it would do in a run's first round

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Learned:
    """What one device's training came to.

    Attributes:
        loss: Mean per epoch: nats, or squared output units.
        accuracy_before: On its held-out samples; None without labels or held-out samples.
        accuracy_after: The same afterwards.
        instructions_per_step: Mean; None where nothing counts them.
        params: The parameter vector.
        model: The learned .tflite.
    """

    loss: tuple[float, ...]
    accuracy_before: float | None
    accuracy_after: float | None
    instructions_per_step: float | None
    params: bytes
    model: bytes

    @property
    def params_sha256(self) -> str:
        """Equal on every backend."""
        return hashlib.sha256(self.params).hexdigest()


@dataclass(frozen=True)
class Steps:
    """What the steps themselves gave.

    Attributes:
        losses: Of every sample or step visited, in the device's unit.
        params: The parameter vector afterwards.
        instructions: Of each step; None where nothing counts them.
    """

    losses: tuple[float, ...]
    params: bytes
    instructions: tuple[int, ...] | None = None


class Trainer(ABC):
    """Trains one device's samples; a subclass does the steps.

    Attributes:
        bundle: The model.
        device: The samples.
        plan: The terms.
    """

    def __init__(self, config: Config, bundle: bundles.Bundle, device: DeviceData) -> None:
        self.bundle = bundle
        self.device = device
        self.plan = LocalPlan(
            rate=LearningRate(*configs.learning_rate(config.train.learning_rate)),
            epochs=config.train.epochs,
            batch=config.train.batch,
            seed=config.train.seed,
            round_number=ROUND,
            max_steps=config.train.max_steps,
        )

    @property
    def steps(self) -> int:
        """How many updates there will be."""
        return sum(1 for _ in self.batches())

    def batches(self) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
        """Sample indices and random key of every update."""
        return batches(self.plan, self.device.device, len(self.device.train_x))

    def targets(self, raw: npt.NDArray[np.uint8], samples: npt.NDArray[np.int8]) -> Any:
        """Labels, or int8 vectors: the sample itself where the data image has none."""
        if self.bundle.has_labels:
            return raw.astype(np.int64) @ (256 ** np.arange(raw.shape[1]))
        return raw.view(np.int8) if raw.shape[1] else samples

    def train(self, advance: Advance) -> Learned:
        """Does all steps, and evaluates before and after."""
        layout = layout_of(self.bundle)
        made = self.run(advance)
        model = export(self.bundle, from_vector(layout, made.params))
        return Learned(
            loss=self._per_epoch(made.losses),
            accuracy_before=self._accuracy(self.bundle.model),
            accuracy_after=self._accuracy(model),
            instructions_per_step=None
            if made.instructions is None
            else sum(made.instructions) / len(made.instructions),
            params=made.params,
            model=model,
        )

    @abstractmethod
    def run(self, advance: Advance) -> Steps:
        """Does the steps in the order of `batches`."""

    def _per_epoch(self, losses: tuple[float, ...]) -> tuple[float, ...]:
        epochs = max(1, min(self.plan.epochs, len(losses)))
        parts = np.array_split(np.asarray(losses), epochs)
        return tuple(
            float(part.mean()) / 1024 * self.bundle.loss_unit for part in parts if len(part)
        )

    def _accuracy(self, model: bytes) -> float | None:
        if not self.bundle.has_labels or not len(self.device.eval_x):
            return None
        whole = Model.read(model, self.bundle.name)
        with open_backend(NATIVE, whole) as forward:
            outputs = forward(self.device.eval_x, lambda _: None).values
        single = outputs.shape[1] == 1  # a chance: 0 is 1/2
        predicted = (outputs[:, 0] >= 0) if single else outputs.argmax(axis=1)
        right = predicted == self.targets(self.device.eval_y, self.device.eval_x)
        return float(right.mean())


class ReferenceTrainer(Trainer):
    """The specification, in NumPy.

    Args:
        config: The terms.
        bundle: The model.
        device: The samples.
    """

    def __init__(self, config: Config, bundle: bundles.Bundle, device: DeviceData) -> None:
        super().__init__(config, bundle, device)
        self._scheme = scheme_of(config)

    def run(self, advance: Advance) -> Steps:
        """See `Trainer.run`."""
        del advance  # one call does it all
        device, loss = self.device, Loss(self.bundle.loss)
        if isinstance(self._scheme, DeepScheme):
            return self._run_network(self._scheme, loss)
        site, head = device_head(self.bundle.model, self.bundle.name, loss)
        graph, seen = site.graph, site.op.inputs[0]
        shape = graph.tensors[graph.inputs[0]].shape
        features = [
            run_ops(graph, graph.ops[: site.position], {graph.inputs[0]: one.reshape(shape)})[seen]
            for one in device.train_x
        ]
        count = head.outputs
        bias = np.frombuffer(self.bundle.initial_params[: 4 * count], "<i4").astype(np.int64)
        masters = np.frombuffer(self.bundle.initial_params[4 * count :], "<i2").astype(np.int64)
        result = train(
            head,
            Parameters(masters.reshape(count, -1), bias),
            np.concatenate(features),
            self.targets(device.train_y, device.train_x),
            plan=self.plan,
            device_id=device.device,
        )
        learned = result.parameters
        params = learned.bias.astype("<i4").tobytes() + learned.masters.astype("<i2").tobytes()
        return Steps(tuple(result.losses.astype(float)), params)

    def _run_network(self, scheme: DeepScheme, loss: Loss) -> Steps:
        """The same where more than the last layer trains."""
        device = self.device
        network = deep_training(scheme, self.bundle.model, self.bundle.name, loss).network
        result = network.train(
            network.initial(),
            device.train_x,
            self.targets(device.train_y, device.train_x),
            plan=self.plan,
            device_id=device.device,
        )
        return Steps(tuple(result.losses.astype(float)), network.vector(result.parameters))


class NativeTrainer(Trainer):
    """The C code, in this process.

    Args:
        config: The terms.
        bundle: The model.
        device: The samples.
        library: Built from the bundle.
    """

    def __init__(
        self, config: Config, bundle: bundles.Bundle, device: DeviceData, library: Library
    ) -> None:
        super().__init__(config, bundle, device)
        self._library = library

    def run(self, advance: Advance) -> Steps:
        """See `Trainer.run`."""
        model = NativeModel(self._library)
        targets = self.targets(self.device.train_y, self.device.train_x)
        losses: list[float] = []
        for count, (indices, key) in enumerate(self.batches(), 1):
            for row, index in enumerate(indices):
                target = int(targets[index]) if self.bundle.has_labels else targets[index]
                losses.append(model.accumulate(self.device.train_x[index], target, row).loss)
            rate = self.plan.rate
            model.apply(len(indices), lr_mantissa=rate.mantissa, lr_exponent=rate.exponent, key=key)
            advance(count)
        return Steps(tuple(losses), model.params)


class BoardTrainer(Trainer):
    """The C code on an emulated board that counts its instructions.

    Args:
        config: The terms.
        bundle: The model.
        device: The samples.
        bench: Runs a job: samples in visiting order, their targets, the job itself.
    """

    def __init__(
        self,
        config: Config,
        bundle: bundles.Bundle,
        device: DeviceData,
        bench: Callable[[npt.NDArray[np.int8], Any, TrainingJob], Steps],
    ) -> None:
        super().__init__(config, bundle, device)
        if len(device.train_x) % self.plan.batch:
            raise UsageError(
                f"{len(device.train_x)} samples in batches of {self.plan.batch}",
                "train.batch",
                "batches of one size on an emulated board",
                "train.batch=1, or --backend native",
            )
        self._bench = bench

    def run(self, advance: Advance) -> Steps:
        """See `Trainer.run`."""
        del advance  # the emulator answers once, at its end
        order = np.concatenate([indices for indices, _ in self.batches()])
        targets = self.targets(self.device.train_y, self.device.train_x)
        job = TrainingJob(
            steps=self.steps,
            rows=self.plan.batch,
            lr_mantissa=self.plan.rate.mantissa,
            lr_exponent=self.plan.rate.exponent,
            round_key=rng.round_key(self.plan.seed, ROUND, self.device.device),
        )
        wanted = targets[order].astype(np.uint32 if self.bundle.has_labels else np.int8)
        made = self._bench(self.device.train_x[order], wanted, job)
        return replace(made, losses=tuple(loss / self.plan.batch for loss in made.losses))


def device_of(config: Config, bundle: bundles.Bundle, user: str | None) -> DeviceData:
    """One user's samples.

    Raises:
        DataError: There is no such user, or the user has no samples to train on.
    """
    data = read(config.data_path)
    parts = partition(data, config.data, bundle, devices=config.fleet.devices)
    for part in parts:
        if user in (None, part.name):
            if part.empty:
                raise DataError(f"user {part.name} has no samples to train on", data.source)
            return part
    names = ", ".join(part.name for part in parts[:12])
    raise DataError(f"there is no user {user!r}", data.source, f"one of {names}")


@contextmanager
def trainer_of(
    backend: str, config: Config, generated: Generated, user: str | None
) -> Iterator[Trainer]:
    """Gets a device ready to train.

    Args:
        backend: reference, native, or an emulated board's id.
        config: Data and terms.
        generated: The model.
        user: Whose samples; None for the first user's.
    """
    board = load_board(paths.boards(), NATIVE) if backend in TRAINERS else emulated_board(backend)
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        folder = Path(name)
        generated.write(folder / "bundle")
        bundle = bundles.load(folder / "bundle")
        device = device_of(config, bundle, user)
        if backend == REFERENCE:
            yield ReferenceTrainer(config, bundle, device)
            return
        app = "library" if backend == NATIVE else "bench"
        image = build_image(folder / "bundle", board, app, folder / "image")
        if backend == NATIVE:
            yield NativeTrainer(config, bundle, device, Library(image.path))
            return

        def bench(samples: npt.NDArray[np.int8], targets: Any, job: TrainingJob) -> Steps:
            result = bench_training(board, image, samples, targets, job)
            losses = tuple(float(loss) for loss in result.losses)
            return Steps(losses, result.params, result.instructions)

        yield BoardTrainer(config, bundle, device, bench)
