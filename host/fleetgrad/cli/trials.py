# SPDX-License-Identifier: Apache-2.0
"""Tries schemes out on proxy data: the C code, in this process, on all cores."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from fleetgrad.data import partition, read
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library, NativeModel
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.search import Choice, ProxyData, Score, Space, masks_of, proxy_data
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, batches

from .backends import NATIVE
from .float_fleet import labels_of
from .ui import Ui

ROUND: Final = 1
DEVICE: Final = 1  # trials are one device's: they differ by seed

# Integers come out the same; trials are what a search spends its time on.
FAST: Final = ("-O3",)


@dataclass(frozen=True)
class NativeTrials:
    """Trains choices from the model as exported, and scores them.

    Attributes:
        ui: Shows progress.
        space: What is chosen from.
        library: A build that trains all of it.
        data: Proxy samples.
        plan: Terms of a trial; its seed is replaced.
        loss_unit: Of the device's loss, in nats or squared output units.
        labelled: Whether samples have a class.
    """

    ui: Ui
    space: Space
    library: Library
    data: ProxyData
    plan: LocalPlan
    loss_unit: float
    labelled: bool

    def __call__(self, jobs: Sequence[tuple[Choice | None, int]]) -> list[Score]:
        """Scores in the order of the jobs, which nothing but their arguments decides."""
        mask = masks_of(self.space)
        masks = {choice: None if choice is None else mask(choice) for choice, _ in jobs}
        todo = list(dict.fromkeys((choice, 0 if choice is None else s) for choice, s in jobs))
        scores = {}
        pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        try:
            with self.ui.progress("trials", len(todo)) as advance:
                made = pool.map(lambda job: self._trial(masks[job[0]], job[1]), todo)
                for done, (job, score) in enumerate(zip(todo, made, strict=True), 1):
                    scores[job] = score
                    advance(done, f"loss {score.loss:.3f}")
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C waits for those that run, and no others
        return [scores[choice, 0 if choice is None else seed] for choice, seed in jobs]

    def _trial(self, mask: npt.NDArray[np.bool_] | None, seed: int) -> Score:
        model = NativeModel(self.library)
        if mask is not None:
            self._train(model, mask, replace(self.plan, seed=seed))
        found = [
            model.evaluate(sample, _target(target))
            for sample, target in zip(self.data.eval_x, self.data.eval_y, strict=True)
        ]
        return Score(
            loss=sum(metrics.loss for metrics in found) / len(found) * self.loss_unit,
            accuracy=sum(m.correct for m in found) / len(found) if self.labelled else None,
        )

    def _train(self, model: NativeModel, mask: npt.NDArray[np.bool_], plan: LocalPlan) -> None:
        frozen = np.flatnonzero(~mask)
        exported = np.frombuffer(model.params, np.uint8)[frozen]
        rate, data = plan.rate, self.data
        for (index,), key in batches(plan, DEVICE, len(data.train_x)):
            model.accumulate(data.train_x[index], _target(data.train_y[index]), 0)
            model.apply(1, lr_mantissa=rate.mantissa, lr_exponent=rate.exponent, key=key)
            if len(frozen):
                params = np.frombuffer(model.params, np.uint8).copy()
                params[frozen] = exported
                model.params = params.tobytes()


def _target(target: Any) -> int | npt.NDArray[np.int8]:
    """A label, or the int8 vector."""
    return target if isinstance(target, np.ndarray) else int(target)


@contextmanager
def native_trials(ui: Ui, config: Config, space: Space) -> Iterator[NativeTrials]:
    """Gets trials on the configured data ready.

    Args:
        ui: Shows progress.
        config: Data, terms of training, sizes of the search.
        space: What is chosen from.

    Raises:
        DataError: The data cannot tell schemes apart.
        ToolError: There is no compiler for this machine.
    """
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        folder = Path(name)
        scheme = space.scheme(space.whole())
        generate(space.model, space.name, scheme=scheme, loss=space.loss).write(folder / "bundle")
        bundle = bundles.load(folder / "bundle")
        data = _proxy(config, bundle)
        board = load_board(paths.boards(), NATIVE)
        fast = replace(board, compiler=replace(board.compiler, flags=FAST))
        image = build_image(folder / "bundle", fast, "library", folder / "image")
        yield NativeTrials(
            ui=ui,
            space=space,
            library=Library(image.path),
            data=data,
            plan=LocalPlan(
                rate=LearningRate(*configs.learning_rate(config.train.learning_rate)),
                epochs=config.train.epochs,
                batch=1,
                round_number=ROUND,
                max_steps=config.train.max_steps,
            ),
            loss_unit=bundle.loss_unit / 1024,
            labelled=bundle.has_labels,
        )


def _proxy(config: Config, bundle: bundles.Bundle) -> ProxyData:
    """All users' samples together, held out as a run with this config does."""
    data = read(config.data.path)
    parts = partition(data, config.data, bundle)

    def targets(raw: npt.NDArray[np.uint8], x: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
        if bundle.has_labels:
            return labels_of(raw)
        return raw.view(np.int8) if raw.shape[1] else x

    train_x = np.concatenate([part.train_x for part in parts])
    eval_x = np.concatenate([part.eval_x for part in parts])
    whole = ProxyData(
        train_x,
        targets(np.concatenate([part.train_y for part in parts]), train_x),
        eval_x,
        targets(np.concatenate([part.eval_y for part in parts]), eval_x),
    )
    search = config.search
    return proxy_data(
        whole,
        source=data.source,
        samples=search.samples,
        heldout=search.heldout,
        seed=config.train.seed,
    )
