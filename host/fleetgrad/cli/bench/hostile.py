# SPDX-License-Identifier: Apache-2.0
"""Fleets of `fleetgrad bench robust`: twenty devices, some of which lie."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleetgrad import paths
from fleetgrad.config import Config, load
from fleetgrad.device import Update
from fleetgrad.errors import DataError
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.attacks import (
    ATTACKS,
    Attack,
    Backdoor,
    InnerProduct,
    LabelFlip,
    Scaling,
    attacked,
)
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.strategies import STRATEGIES, Strategy, make_strategy

from .small_fleet import Poison, Sent, SmallFleet

DEVICES: Final = 20
SHARE: Final = 0.2
"""Of the devices that lie."""

TRUSTED: Final = 1
"""The device that FLTrust goes by; it never lies."""

TARGET_CLASS: Final = 1
"""What a backdoor's mark stands for."""


@dataclass(frozen=True)
class Scenario:
    """What hostile devices do.

    Attributes:
        attack: To what they send, if anything.
        poison: To what they learn from, if anything; from the number of classes.
        mark: Of a backdoor, on samples.
    """

    attack: Attack | None = None
    poison: Callable[[int], Poison] | None = None
    mark: Callable[[NDArray[np.int8]], NDArray[np.int8]] | None = None


SCENARIOS: Final[dict[str, Scenario]] = {
    "none": Scenario(),
    **{name: Scenario(attack) for name, attack in ATTACKS.items()},
    "ipm-10": Scenario(InnerProduct(10.0)),
    "label-flip": Scenario(poison=LabelFlip),
    "marked": Scenario(mark=Backdoor(TARGET_CLASS).mark),
    "backdoor": Scenario(
        Scaling(3.0), lambda _: Backdoor(TARGET_CLASS), Backdoor(TARGET_CLASS).mark
    ),
}


@dataclass(frozen=True)
class End:
    """How a run ended.

    Attributes:
        accuracy: On all held-out samples.
        fooled: Share of held-out samples of other classes that are given the backdoor's class once
            they are marked; None where there is no backdoor.
    """

    accuracy: float
    fooled: float | None


def rules(attackers: int) -> dict[str, Strategy]:
    """What is compared: plain averaging, every robust rule, and some after mixing.

    Args:
        attackers: That each rule is told to withstand.
    """
    train = {"epochs": 1, "batch": 1, "max_steps": 0}
    known: dict[str, dict[str, Any]] = {"fedavg": {}}
    for name, kind in STRATEGIES.items():
        if "attackers" in getattr(kind, "__dataclass_fields__", {}):
            known[name] = {"attackers": attackers}
    known["fltrust"]["root"] = TRUSTED
    for name in ("median", "trimmed-mean", "centred-clipping"):
        known[f"{name}+mixing"] = {"attackers": attackers, "mixing": True}
    return {
        label: make_strategy(label.removesuffix("+mixing"), options, train)
        for label, options in known.items()
    }


def run(fleet: SmallFleet, strategy: Strategy, scenario: Scenario, rounds: int, seed: int) -> End:
    """Some rounds, in which a fifth of the devices is hostile.

    Args:
        fleet: The devices.
        strategy: Makes versions.
        scenario: What the hostile ones do.
        rounds: How many.
        seed: Of training, and of who is hostile.
    """
    layout, count = fleet.layout, len(fleet.devices)
    others = np.array([d.device != TRUSTED for d in fleet.devices]).nonzero()[0]
    drawn = np.random.default_rng(seed).permutation(others)[: int(SHARE * count)]
    hostile = frozenset(drawn.tolist())
    poison = scenario.poison(fleet.bundle.classes) if scenario.poison else None
    model, memory = fleet.initial, b""
    for number in range(1, rounds + 1):
        sent = fleet.learn(model, number, seed, lambda p: poison if p in hostile else None)
        if scenario.attack is not None:
            sent = attacked(scenario.attack, sent, sorted(hostile), layout.segments)
        folded = Aggregator(strategy, layout, memory)
        for device, one in zip(fleet.devices, sent, strict=True):
            update = _update(number, len(device.train_x), one)
            folded.add(device.device, update, Facts.of(update))
        made = folded.finish(model, number)
        model, memory = made.model, made.memory
    if scenario.mark is None:
        return End(fleet.accuracy(model), None)
    x, y = fleet.heldout
    elsewhere = y != TARGET_CLASS
    marked = scenario.mark(x[elsewhere])
    wanted = np.full(len(marked), TARGET_CLASS, np.int64)
    return End(fleet.accuracy(model), fleet.accuracy(model, (marked, wanted)))


def _update(number: int, samples: int, sent: Sent) -> Update:
    exponents, deltas = sent
    return Update(number, 0, samples, 0, 0, 0, 0, exponents, deltas, b"")


def digits(folder: Path, data: Path | None) -> Config:
    """Examples/digits on twenty devices: the samples of each writer's board dealt to two or three.

    Args:
        folder: For the data set as dealt.
        data: Not needed: the example has its own.
    """
    del data
    example = paths.home() / "examples" / "digits"
    with np.load(example / "digits.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ("x", "y", "user", "test")}
    users = np.unique(arrays["user"])
    dealt = np.zeros(len(arrays["y"]), np.uint8)
    first = 0
    for place, user in enumerate(users.tolist()):
        share = (DEVICES + place) // len(users)
        for held_out in (False, True):
            mine = np.flatnonzero((arrays["user"] == user) & (arrays["test"] == held_out))
            dealt[mine] = first + np.arange(len(mine)) % share
        first += share
    np.savez(folder / "digits.npz", **{**arrays, "user": dealt})
    changes = (f"data.path={folder / 'digits.npz'}", f"fleet.devices={DEVICES}")
    return load(example / "fleetgrad.toml", changes)


def hapt(folder: Path, data: Path | None) -> Config:
    """Examples/har, last layer: twenty people, the sensor turned.

    Args:
        folder: For the data set as the example arranges it.
        data: Folder with ``uci_hapt_windows.npz``, or a folder ``datasets`` that has it.

    Raises:
        DataError: It is not there, or not usable.
    """
    example, name = paths.home() / "examples" / "har", "uci_hapt_windows.npz"
    found = [p for p in (data / "datasets" / name, data / name) if p.is_file()] if data else []
    if not found:
        raise DataError(f"there is no {name}", str(data or ""), hint="--data DIR, or --only digits")
    made = folder / "har.npz"
    command = [sys.executable, str(example / "make_boards.py"), str(found[0]), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(done.stderr.strip(), str(found[0]))
    changes = (
        f"data.path={made}",
        "scheme.name=last-layer",
        "train.learning_rate=0.05",
        "rounds.count=10",
    )
    return load(example / "fleetgrad.toml", changes)


FLEETS: Final = {"digits": digits, "hapt": hapt}
