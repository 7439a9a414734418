# SPDX-License-Identifier: Apache-2.0
"""Runs by the seed: what is drawn, what happened, and whether all that must hold did."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fleetgrad import config as configs
from fleetgrad.bundle import load
from fleetgrad.config import Config
from fleetgrad.errors import FleetgradError
from fleetgrad.simulator.faults import Faults, draw
from fleetgrad.simulator.host import Fate, Rig, Violation, live
from fleetgrad.simulator.oracle import Oracle, examine
from fleetgrad.simulator.world import World
from fleetgrad.toolchain.library import Library

_MEMORY = Path("/dev/shm")
_SAMPLES = 3
_DATA_SEED = 1

Trace = Callable[[float, str], None]


@dataclass(frozen=True)
class Plan:
    """What a run is to do; a seed chooses one of a few.

    Attributes:
        devices: Boards.
        rounds: Training rounds.
        fraction: Of the devices, asked in each round.
        all_or_nothing: Every device that is asked must contribute, however long that takes.
    """

    devices: int
    rounds: int
    fraction: float
    all_or_nothing: bool


PLANS = (
    Plan(2, 10, 1.0, all_or_nothing=True),
    Plan(3, 10, 1.0, all_or_nothing=True),
    Plan(3, 10, 0.6, all_or_nothing=True),
    Plan(3, 10, 1.0, all_or_nothing=False),
)


@dataclass(frozen=True)
class Outcome:
    """What happened in one run.

    Attributes:
        seed: That made it happen.
        rounds: Rounds that were closed, the closing evaluation included.
        updates: Updates that count.
        receipts: Updates of which a device was told that they count.
        kills: Hosts that were killed.
        failures: Hosts that gave up: too few updates in time.
        resets: Devices that were reset.
        seconds: Of virtual time.
        digest: Of the final version, hex.
    """

    seed: int
    rounds: int
    updates: int
    receipts: int
    kills: int
    failures: int
    resets: int
    seconds: float
    digest: str


class Campaign:
    """Runs simulated fleets of one bundle.

    Args:
        bundle_dir: What code generation made: a model whose samples have labels.
        library: The firmware with it.
    """

    def __init__(self, bundle_dir: Path, library: Path) -> None:
        self._bundle_dir = bundle_dir
        self._library = Library(library)
        self._oracle = Oracle(self._library)
        self._undisturbed: dict[Plan, str] = {}
        bundle = load(bundle_dir)
        self._features = int(np.prod(bundle.input.shape))
        self._classes = bundle.classes

    def run(self, seed: int, faults: Faults | None = None, trace: Trace | None = None) -> Outcome:
        """One run.

        Args:
            seed: Decides everything: plan, faults, and when each of them happens.
            faults: Instead of those of the seed.
            trace: Is told everything that happens.

        Raises:
            Violation: Something happened that never may; the seed makes it happen again.
        """
        dice = random.Random(f"fleetgrad/links/{seed}")
        plan = dice.choice(PLANS)
        drawn = draw(dice)
        try:
            return self._run(seed, plan, faults or drawn, trace)
        except FleetgradError as error:
            raise Violation(
                error.what,
                where=f"seed {seed}" + (f": {error.where}" if error.where else ""),
                expected=error.expected,
                hint=f"fleetgrad bench links --seed {seed} --trace",
            ) from error

    def _run(self, seed: int, plan: Plan, faults: Faults, trace: Trace | None) -> Outcome:
        base = _MEMORY if _MEMORY.is_dir() else None
        folder = Path(tempfile.mkdtemp(prefix="fleetgrad-links-", dir=base))
        try:
            config = self._config(plan, folder)
            world = World(seed, trace)
            world.tell(f"{plan}")
            world.tell(f"{faults}")
            rig = Rig(world, self._library, faults, Fate(world, faults), config.run.dir)
            ids = random.Random(f"sessions/{seed}")
            given: set[int] = {0}

            def session_id() -> int:
                while (number := ids.getrandbits(32)) in given:
                    pass
                given.add(number)
                return number

            try:
                ending = live(config, self._bundle_dir, rig, session_id)
            finally:
                rig.close()
            digest, rounds, updates = examine(config.run.dir, config, rig.images, self._oracle)
            self._compare(plan, faults, digest)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return Outcome(
            seed=seed,
            rounds=rounds,
            updates=updates,
            receipts=len(rig.receipts),
            kills=rig.fate.kills,
            failures=ending.failures,
            resets=rig.resets,
            seconds=world.now / 1000,
            digest=digest,
        )

    def _compare(self, plan: Plan, faults: Faults, digest: str) -> None:
        """Where every update counts, nothing that happens may change the model."""
        if not plan.all_or_nothing:
            return
        if plan not in self._undisturbed:
            if faults.harmless:
                self._undisturbed[plan] = digest
            else:
                self._undisturbed[plan] = self._run(0, plan, Faults(), None).digest
        if digest != self._undisturbed[plan]:
            raise Violation(
                f"the final model is {digest[:16]}",
                expected=f"{self._undisturbed[plan][:16]}, as without faults",
            )

    def _config(self, plan: Plan, folder: Path) -> Config:
        self._write_data(folder / "data.npz", plan.devices)
        asked = max(1, -(-plan.devices * int(10 * plan.fraction) // 10))
        tables: dict[str, Any] = {
            "model": {"path": "model.tflite"},
            "data": {"path": "data.npz"},
            "train": {"learning_rate": 0.05, "epochs": 1, "batch": 1, "seed": 1},
            "rounds": {
                "count": plan.rounds,
                "fraction": plan.fraction,
                "min_updates": asked if plan.all_or_nothing else 1,
                "retries": 2,
                "timeout_s": 60.0,
            },
            "ranges": {"grow": "off"},
            "fleet": {"kind": "virtual"},
            "run": {"dir": "run"},
        }
        return configs.from_tables(tables, base=folder, source="simulated")

    def _write_data(self, path: Path, devices: int) -> None:
        dice = np.random.default_rng(_DATA_SEED)
        count = devices * _SAMPLES
        np.savez(
            path,
            x=dice.normal(size=(count, self._features)).astype(np.float32),
            y=dice.integers(0, self._classes, count),
            user=np.repeat(np.arange(devices), _SAMPLES),
        )
