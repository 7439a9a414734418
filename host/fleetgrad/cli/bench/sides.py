# SPDX-License-Identifier: Apache-2.0
"""Both sides of `fleetgrad bench finetune`: the device's own C, and float32, from one start."""

from __future__ import annotations

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fleetgrad import bundle as bundles
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.data import quantise_input
from fleetgrad.federation.model import GROWTH_LIMIT, from_vector
from fleetgrad.store import layout_of
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library, NativeModel
from fleetgrad_codegen.bundle import Ranges, generate
from fleetgrad_codegen.gradient.float_network import FloatNetwork, FloatState
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Sparse, deep_training
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, batches

from ..files import read_bytes
from .tasks import Part, Splits, Task

DEVICE: Final = 1
LOSS: Final = Loss.SOFTMAX_CROSS_ENTROPY
SCHEMES: Final = ("last-layer", "bias", "sparse", "full")
STARTS: Final = {"last-layer": 0.064, "bias": 0.032, "sparse": 0.016, "full": 0.016}
HEAD_SEED: Final = 1
TOLERANCE: Final = 13 / 65536
"""Share of clipped outputs that is no reason for a scale to grow."""
MOST_MEASUREMENTS: Final = 3
"""Before the first pass: what an early layer cuts off, later ones do not see."""
SCHEDULE: Final = (1.0, 1.0, 1 / 2, 1 / 8, 1 / 32)
"""Learning rate of each pass over the training samples, by that of the first. It ends low: at batch
1 a run that ends at 1/8 depends on its last samples."""
FLAGS: Final = ("-O3", "-march=native")
"""For the device's code in this process: integers come out the same, sooner."""


@dataclass(frozen=True)
class Score:
    """Accuracy after training.

    Attributes:
        validation: On the samples that learning rates are chosen on.
        test: On those that are reported.
    """

    validation: float
    test: float


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        rate: Learning rate of the first pass.
        seed: Of sample order and stochastic rounding.
    """

    rate: float
    seed: int


class Setting:
    """A task with a scheme: the adapted model and the samples in its integers.

    Args:
        task: What to learn.
        splits: Its samples.
        scheme: What trains.
        model: The file to start from.
    """

    def __init__(self, task: Task, splits: Splits, scheme: str, model: Path) -> None:
        self.task = task
        self.scheme = scheme
        last = LastLayer(classes=task.classes, seed=HEAD_SEED if task.classes else None)
        # The last layer alone, as every other scheme counts layers.
        deep = {
            "last-layer": Full(last=last, layers=1),
            "bias": Bias(last=last),
            "sparse": Sparse(last=last),
            "full": Full(last=last),
        }[scheme]
        self._content = content = read_bytes(model, "model")
        own = last if scheme == "last-layer" else deep
        self.generated = generate(content, task.name, scheme=own, loss=LOSS, ranges=Ranges())
        with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
            self.generated.write(Path(folder, "bundle"))
            self.bundle = bundles.load(Path(folder, "bundle"))
        self.deep = deep_training(deep, self.bundle.model, task.name, LOSS)
        shape = self.bundle.input.shape[1:]

        def enter(part: Part) -> Part:
            x = quantise_input(part.x, self.bundle.input, where=task.source)
            return Part(x.reshape(-1, *shape), part.y)

        self.train = enter(splits.train)
        self.validation = enter(splits.validation)
        self.test = enter(splits.test)

    @property
    def trained(self) -> int:
        """Weights and biases that train."""
        return sum(segment.count for segment in self.generated.program.segments)

    @property
    def digest(self) -> str:
        """Names everything that a result depends on, but the program itself."""
        terms = (self.scheme, self.task.classes, HEAD_SEED, SCHEDULE)
        made = hashlib.sha256(self._content + repr(terms).encode())
        for part in (self.train, self.validation, self.test):
            made.update(part.x.tobytes())
            made.update(part.y.tobytes())
        return made.hexdigest()

    @cached_property
    def library(self) -> Library:
        """The device's code for this machine."""
        with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
            self.generated.write(Path(folder, "bundle"))
            board = load_board(paths.boards(), "native")
            flags = (*board.compiler.flags, *FLAGS)
            board = replace(board, compiler=replace(board.compiler, flags=flags))
            image = build_image(Path(folder, "bundle"), board, "library", Path(folder, "image"))
            return Library(image.path)

    def plans(self, run: Run) -> list[LocalPlan]:
        """A round for each pass."""
        return [
            LocalPlan(LearningRate.of(run.rate * factor), seed=run.seed, round_number=number)
            for number, factor in enumerate(SCHEDULE, 1)
        ]

    def before(self) -> Score:
        """What the exported model can do."""
        return Fixed(self).score(NativeModel(self.library))


class Side(ABC):
    """Trains and scores.

    Attributes:
        name: For tables and files.
        start: Learning rate that the search for the best one begins at.
        setting: What and on what.
    """

    name: str

    @property
    def start(self) -> float:
        """By scheme, the same for every side: the less trains, the larger the best rate is."""
        return STARTS[self.setting.scheme]

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def train(self, runs: Sequence[Run]) -> list[Score]:
        """One score for each run."""


class Fixed(Side):
    """The device's C code, in this process; activation scales stay as exported."""

    name = "fixed"

    def train(self, runs: Sequence[Run]) -> list[Score]:
        """See `Side.train`."""
        return [self._run(run) for run in runs]

    def _run(self, run: Run) -> Score:
        setting = self.setting
        model = NativeModel(setting.library)
        x, y = setting.train.x, setting.train.y
        self.prepare(model)
        for plan in setting.plans(run):
            model.params = model.params  # a round begins: expectations start anew
            rate = plan.rate
            for (index,), key in batches(plan, DEVICE, len(y)):
                model.accumulate(x[index], int(y[index]), 0)
                model.apply(1, lr_mantissa=rate.mantissa, lr_exponent=rate.exponent, key=key)
            self.review(model)
        return self.score(model)

    def prepare(self, model: NativeModel) -> None:
        """What happens before the first pass."""

    def review(self, model: NativeModel) -> bool:
        """What happens after each pass; whether it has changed the model."""
        del model
        return False

    def score(self, model: NativeModel) -> Score:
        """Accuracy of a model as it is now."""

        def accuracy(part: Part) -> float:
            return float((model.forward(part.x).argmax(axis=1) == part.y).mean())

        return Score(accuracy(self.setting.validation), accuracy(self.setting.test))


class Integers(Fixed):
    """The same with activation scales that grow, as the host lets them: doubled where they clip."""

    name = "integers"
    tolerance = TOLERANCE

    def prepare(self, model: NativeModel) -> None:
        """Measures and doubles until nothing clips, a few times at most."""
        for _ in range(MOST_MEASUREMENTS):
            if not self.review(model):
                break

    def review(self, model: NativeModel) -> bool:
        """Doubles each scale that clips a training sample's activation; False where none does."""
        bundle = self.setting.bundle
        x = self.setting.train.x
        seen = len(x) * np.array([found.values for found in bundle.ranges])
        clipped = model.measure(x, len(bundle.ranges)) > self.tolerance * seen
        now = from_vector(layout_of(bundle), model.params)
        exponents = bytes(
            min(GROWTH_LIMIT, old + int(more))
            for old, more in zip(now.exponents, clipped, strict=True)
        )
        if exponents == now.exponents:
            return False
        model.params = now.grown(exponents).vector()
        return True


class Reals(Side):
    """The same in float32, all runs side by side."""

    name = "float32"

    def train(self, runs: Sequence[Run]) -> list[Score]:
        """See `Side.train`."""
        setting, training = self.setting, self.setting.deep
        network, side_by_side = training.float_network, training.float_runs
        states: list[FloatState] = [network.initial() for _ in runs]
        plans = [setting.plans(run) for run in runs]
        for number in range(len(SCHEDULE)):
            states = side_by_side.train(
                states,
                setting.train.x,
                setting.train.y,
                plans=[own[number] for own in plans],
                device_id=DEVICE,
            )
        return [self._score(network, state) for state in states]

    def _score(self, network: FloatNetwork, state: FloatState) -> Score:
        def accuracy(part: Part) -> float:
            chunks = [slice(start, start + 128) for start in range(0, len(part.y), 128)]
            with np.errstate(over="ignore", invalid="ignore"):
                made = [network.outputs(state, part.x[chunk]).argmax(axis=1) for chunk in chunks]
            found: npt.NDArray[np.int64] = np.concatenate(made)
            return float((found == part.y).mean())

        return Score(accuracy(self.setting.validation), accuracy(self.setting.test))
