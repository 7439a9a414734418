# SPDX-License-Identifier: Apache-2.0
"""Whole simulations: one model, however the work is cut up; the model that a real run makes."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetgrad import bundle as bundles
from fleetgrad.config import learning_rate
from fleetgrad.data import DeviceData, partition, read
from fleetgrad.errors import DataError, RoundError
from fleetgrad.federation.model import from_vector
from fleetgrad.federation.ranges import RangePolicy
from fleetgrad.federation.state import Plan
from fleetgrad.federation.strategies import STRATEGIES, FedAvg
from fleetgrad.fleet import VirtualFleet
from fleetgrad.run import execute
from fleetgrad.simulate.engine import Engine, LocalEngine, shards_of
from fleetgrad.simulate.native import FleetLibrary
from fleetgrad.simulate.rounds import Heldout, SimulatedRound, Simulation, Simulator
from fleetgrad.simulate.samples import FleetSamples, Part, of_devices
from fleetgrad.simulate.sources import dealt
from fleetgrad.store import layout_of
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library
from host.conftest import board
from support.fleets import Built, drawn_fleet

MANTISSA, EXPONENT = learning_rate(0.01)


class Careful(FedAvg):
    """The same mean, but of updates that it looks at one by one."""

    @property
    def by_samples(self) -> bool:
        return False

    def refusal(self, update: Any, layout: Any) -> str:
        return "too loud" if update.samples == 9 else ""


def plan_of(made: Built, **changes: Any) -> Plan:
    plan = Plan(
        roster=(), evaluators=(), model_digest=made.bundle.digest[:8], rounds=2, min_updates=1,
        fraction=1.0, timeout_s=1.0, retries=0, seed=5, lr_mantissa=MANTISSA,
        lr_exponent=EXPONENT, epochs=1, batch=1, max_steps=0,
    )  # fmt: skip
    return replace(plan, **changes)


def simulated(
    made: Built, samples: FleetSamples, engine: Engine | None = None, **changes: Any
) -> tuple[Simulation, list[SimulatedRound | str]]:
    told: list[SimulatedRound | str] = []
    engine = engine or LocalEngine(made.fleet, samples, workers=2)
    test = Heldout(*made.fleet.worker(samples).samples_of(0))
    try:
        simulator = Simulator(
            plan_of(made, **changes), samples, engine, None, test, 1.0, told.append
        )
        return simulator.run(from_vector(made.layout, made.vector)), told
    finally:
        engine.close()


def test_cut_into_shards_and_threads_it_is_one_model(head: Built) -> None:
    samples = drawn_fleet(3000)
    found = [
        simulated(head, samples, LocalEngine(head.fleet, samples, workers, shards))[0]
        for workers, shards in ((1, 1), (2, 2), (2, 8))
    ]
    assert len({one.model.digest for one in found}) == 1
    assert len({tuple(r.digest for r in one.rounds) for one in found}) == 1
    assert found[0].device_rounds == 6000
    assert found[0].rounds[0].loss is not None
    other, _ = simulated(head, samples, seed=6)
    assert other.model.digest != found[0].model.digest


def test_ray_makes_the_same_model(head: Built) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("no Ray: pip install 'fleetgrad[ray]'")
    from fleetgrad.simulate.ray_engine import RayEngine

    samples = drawn_fleet(4000)
    local, _ = simulated(head, samples)
    folder = Path(head.fleet.path).parent / "bundle"
    spread, _ = simulated(head, samples, RayEngine(head.fleet, folder, samples, 2, 8))
    assert spread.model.digest == local.model.digest
    assert [r.digest for r in spread.rounds] == [r.digest for r in local.rounds]


def test_a_strategy_that_looks_at_updates_gets_them(head: Built) -> None:
    """And what it refuses is counted; the mean of the others is exact."""
    samples = drawn_fleet(60, least=3, most=9)
    careful, told = simulated(head, samples, rounds=1, strategy=Careful())
    loud = np.flatnonzero(samples.train_counts() == 9)
    assert 0 < len(loud) < 60
    (one,) = careful.rounds
    assert (one.accepted, one.dropped) == (60 - len(loud), {"refused": len(loud)})
    assert f"device {loud[0] + 1}: too loud" in told
    worker = head.fleet.worker(samples)
    parts = [worker.samples_of(device) for device in range(60)]
    kept = [(x, y) for x, y in parts if len(x) != 9]
    counts = [0 if len(x) == 9 else len(x) for x, _ in parts]
    pool = Part(
        np.concatenate([x for x, _ in kept]),
        np.concatenate([y for _, y in kept]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64),
    )
    quiet, _ = simulated(head, replace(samples, drawn=None, train=pool, held=pool), rounds=1)
    assert quiet.model.digest == careful.model.digest


def test_a_robust_rule_runs_on_a_virtual_fleet(head: Built) -> None:
    rule = STRATEGIES["median"]()
    made, _ = simulated(head, drawn_fleet(30), rounds=1, strategy=rule)
    mean, _ = simulated(head, drawn_fleet(30), rounds=1)
    assert made.model.digest != mean.model.digest


def test_too_large_a_cohort_for_such_a_strategy_is_refused(
    head: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetgrad.simulate.rounds.MOST_SEEN", 20)
    with pytest.raises(RoundError, match="looks at each of 30 updates"):
        simulated(head, drawn_fleet(30), strategy=Careful())


def test_a_share_of_the_fleet_is_drawn_anew_each_round(head: Built) -> None:
    samples = drawn_fleet(400)
    made, _ = simulated(head, samples, fraction=0.1)
    assert [(r.selected, r.accepted) for r in made.rounds] == [(40, 40), (40, 40)]
    assert made.rounds[0].digest != made.rounds[1].digest
    again, _ = simulated(head, samples, fraction=0.1)
    assert again.model.digest == made.model.digest


def test_too_few_updates_are_an_error_that_says_why(head: Built) -> None:
    with pytest.raises(RoundError, match="has 30 of the 40 updates"):
        simulated(head, drawn_fleet(30), min_updates=40)


def test_a_split_data_set_ends_with_the_model_of_a_run(
    digits_bundle: Path, library: Path, digits: Any
) -> None:
    """Wire protocol, round engine and all, against the loop."""
    result = execute(digits, digits_bundle, VirtualFleet(library))
    bundle = bundles.load(digits_bundle)
    layout = layout_of(bundle)
    image = build_image(digits_bundle, board("native"), "fleet", library.parent / "fleet")
    made = Built(bundle, layout, FleetLibrary(image.path, layout.shape), Library(library))
    data = partition(read(digits.data_path), digits.data, bundle, devices=3)
    mantissa, exponent = learning_rate(digits.train.learning_rate)
    found, _ = simulated(
        made, of_devices(data), seed=digits.train.seed, batch=2, lr_mantissa=mantissa,
        lr_exponent=exponent,
    )  # fmt: skip
    assert found.model.digest.hex() == result.model_digest
    assert [r.loss for r in found.rounds] != []


def test_ranges_grow_as_in_a_run(layers: Built) -> None:
    policy = RangePolicy(before=True, drift=True, tolerance=0, names=("hidden",))
    made, told = simulated(layers, drawn_fleet(40), ranges=policy)
    still, _ = simulated(layers, drawn_fleet(40))
    assert max(made.model.exponents) > 0 == max(still.model.exponents)
    assert any("doubled before round 1" in str(news) for news in told)


def test_dealt_classes_follow_the_mixture(head: Built) -> None:
    dice = np.random.default_rng(1)
    x = dice.integers(-128, 128, (300, 64)).astype(np.int8)
    y = (np.arange(300) % 10).astype(np.uint8)[:, None]
    data = [DeviceData(1, "1", x, y, x[:0], y[:0], 1)]

    def classes(alpha: float) -> float:
        """Mean number of classes on a device."""
        fleet = dealt(data, 5000, 32, alpha, seed=4)
        assert fleet.train.rows is not None
        labels = y[fleet.train.rows, 0].reshape(5000, 32)
        assert np.bincount(labels.reshape(-1), minlength=10).min() > 10_000
        return float(np.mean([len(set(row)) for row in labels.tolist()]))

    for alpha in (0.05, 0.5, 1000.0):
        missing = math.exp(
            math.lgamma(10 * alpha)
            + math.lgamma(9 * alpha + 32)
            - math.lgamma(9 * alpha)
            - math.lgamma(10 * alpha + 32)
        )  # the chance that none of 32 draws is of a certain class
        assert classes(alpha) == pytest.approx(10 * (1 - missing), abs=0.1)
    again, other = dealt(data, 50, 8, 0.5, 1), dealt(data, 50, 8, 0.5, 2)
    longer = dealt(data, 5000, 8, 0.5, 1)
    assert again.train.rows is not None
    assert longer.train.rows is not None
    assert np.array_equal(again.train.rows, longer.train.rows[:400])
    assert not np.array_equal(again.train.rows, other.train.rows)
    with pytest.raises(DataError, match="labels"):
        dealt([replace(data[0], target_kind=2)], 5, 8, 0.5, 1)


def test_shards_are_as_many_as_asked_and_none_is_empty() -> None:
    devices = np.arange(10, dtype=np.uint32)
    assert [len(part) for part in shards_of(devices, 2, 3)] == [4, 3, 3]
    assert len(shards_of(devices, 2, 20)) == 10
    assert len(shards_of(np.arange(9000, dtype=np.uint32), 2)) == 8
    assert max(len(part) for part in shards_of(np.arange(10**6, dtype=np.uint32), 1)) <= 16384
