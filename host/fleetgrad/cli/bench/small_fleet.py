# SPDX-License-Identifier: Apache-2.0
"""A fleet for benchmarks, without links, rounds' deadlines or a ledger: the device's own C code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetgrad import bundle as bundles
from fleetgrad import config as configs
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.data import DeviceData
from fleetgrad.federation.attacks import encode
from fleetgrad.federation.model import GlobalModel, Layout, from_vector
from fleetgrad.store import layout_of
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library, NativeModel
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, batches

from ..backends import NATIVE
from ..bundles import make_bundle
from ..float_fleet import labels_of, read_devices
from ..trials import FAST

Sent = tuple[tuple[int, ...], NDArray[np.int8]]
"""Exponents and deltas of an update."""

Poison = Callable[[NDArray[np.int8], NDArray[np.int64]], tuple[NDArray[np.int8], NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class SmallFleet:
    """Devices with labelled samples, and what they have learned together.

    Attributes:
        config: Terms of training.
        bundle: The model.
        library: Its code.
        devices: Samples of each.
        pool: Trains them.
    """

    config: Config
    bundle: bundles.Bundle
    library: Library
    devices: tuple[DeviceData, ...]
    pool: ThreadPoolExecutor

    @property
    def layout(self) -> Layout:
        """Of the parameters."""
        return layout_of(self.bundle)

    @property
    def initial(self) -> GlobalModel:
        """The first version."""
        return from_vector(self.layout, self.bundle.initial_params)

    @cached_property
    def heldout(self) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """All devices' held-out samples and labels."""
        x = np.concatenate([device.eval_x for device in self.devices])
        return x, np.concatenate([labels_of(device.eval_y) for device in self.devices])

    def learn(
        self,
        model: GlobalModel,
        number: int,
        seed: int,
        poison: Callable[[int], Poison | None] = lambda _: None,
    ) -> list[Sent]:
        """What every device sends in a round.

        Args:
            model: The version that they receive.
            number: The round, from 1.
            seed: Of the run.
            poison: Of a device, by its place: what has been done to its samples, if anything.
        """
        vector = model.vector()
        received = from_vector(self.layout, vector).values >> 16
        train = self.config.train
        plan = LocalPlan(
            LearningRate(*configs.learning_rate(self.config.schedule.at(number))),
            epochs=train.epochs,
            batch=train.batch,
            seed=seed,
            round_number=number,
            max_steps=train.max_steps,
        )

        def one(place: int) -> Sent:
            device = self.devices[place]
            x, y = device.train_x, labels_of(device.train_y)
            spoil = poison(place)
            if spoil is not None:
                x, y = spoil(x, y)
            learned = self._train(vector, plan, device.device, x, y)
            after = from_vector(self.layout, learned).values >> 16
            return encode(after - received, self.layout.segments)

        return list(self.pool.map(one, range(len(self.devices))))

    def accuracy(
        self, model: GlobalModel, samples: tuple[NDArray[np.int8], NDArray[np.int64]] | None = None
    ) -> float:
        """Of a version, on all held-out samples or on others."""
        x, y = self.heldout if samples is None else samples
        net = NativeModel(self.library)
        net.params = model.vector()
        return float((net.forward(x).argmax(axis=1) == y).mean())

    def _train(
        self,
        vector: bytes,
        plan: LocalPlan,
        device: int,
        x: NDArray[np.int8],
        y: NDArray[np.int64],
    ) -> bytes:
        net = NativeModel(self.library)
        net.params = vector
        for indices, key in batches(plan, device, len(y)):
            for row, index in enumerate(indices):
                net.accumulate(x[index], int(y[index]), row)
            net.apply(
                len(indices),
                lr_mantissa=plan.rate.mantissa,
                lr_exponent=plan.rate.exponent,
                key=key,
            )
        return net.params


@contextmanager
def small_fleet(config: Config, folder: Path) -> Iterator[SmallFleet]:
    """Builds the configured model for this machine and deals the configured data.

    Args:
        config: Model, scheme, data, terms of training.
        folder: For what is built.

    Raises:
        ToolError: There is no compiler for this machine.
        DataError: The data does not fit the model.
    """
    board = load_board(paths.boards(), NATIVE)
    make_bundle(config, board).write(folder / "bundle")
    bundle = bundles.load(folder / "bundle")
    fast = replace(board, compiler=replace(board.compiler, flags=FAST))
    image = build_image(folder / "bundle", fast, "library", folder / "image")
    devices = read_devices(config, bundle)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield SmallFleet(config, bundle, Library(image.path), devices, pool)
