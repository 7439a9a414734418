# SPDX-License-Identifier: Apache-2.0
"""Every strategy in a whole run: named in the config, refused by name, replayed bit for bit."""

from __future__ import annotations

import zlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetgrad.bundle import load
from fleetgrad.config import Config
from fleetgrad.device import Update
from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.errors import BundleError, ConfigError, FleetgradError, RoundError
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel, Layout, Scale
from fleetgrad.federation.strategies import STRATEGIES, FedAvg, Strategy, make_strategy
from fleetgrad.federation.strategies.server import FedAdam, FedAvgM, FedBuff, FedNova
from fleetgrad.results import RunResult
from fleetgrad.run.replay import replay
from fleetgrad.store import Store, layout_of
from fleetgrad.wire.messages import UpdateHeader
from support.device_model import Traits
from support.federation import DIGEST, ModelFleet, project, write_bundle, write_data
from support.runs import run

TRAIN = {"epochs": 2, "batch": 4, "max_steps": 0}
SEGMENTS = (("bias", 2), ("weight", 6))
LAYOUT = Layout(DIGEST, SEGMENTS, 1, (0, None), (Scale((0.5,)), Scale((0.25, 0.125), 3)))

OPTIONS: dict[str, dict[str, Any]] = {"fltrust": {"root": 1}}
ROBUST = [name for name, kind in STRATEGIES.items() if "attackers" in str(fields(kind))]
ROBUST.remove("fltrust")  # withstands any number


def made(name: str, **options: Any) -> Strategy:
    return make_strategy(name, {**OPTIONS.get(name, {}), **options}, TRAIN)


def update(samples: int, deltas: list[int], exponents: tuple[int, int] = (0, 0)) -> Update:
    return Update(1, 0, samples, 0, 0, 0, 0, exponents, np.array(deltas, np.int8), b"%d" % samples)


def after(strategy: Strategy, *rounds: list[Update], exponent: int = 0) -> np.ndarray:
    """Where a model that begins at 0 ends, in 2^-16 units."""
    model, memory = GlobalModel(LAYOUT, np.zeros(8, np.int64), bytes([exponent])), b""
    for updates in rounds:
        folded = Aggregator(strategy, LAYOUT, memory)
        for device, part in enumerate(updates, start=1):
            folded.add(device, part, Facts.of(part))
        found = folded.finish(model, 1)
        model, memory = found.model, found.memory
    return model.values


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_runs_and_replays_exactly(tmp_path: Path, name: str) -> None:
    write_data(tmp_path / "data.npz", users=7)
    config = project(tmp_path, strategy={"name": name, **OPTIONS.get(name, {})})
    result = run(config)
    with Store(config.run.dir, writing=False) as store:
        found = replay(store, result.run_id)
        assert found.rounds[-1].digest == result.model_digest
        assert len(found.rounds) == len(result.rounds)


@pytest.mark.parametrize("name", ROBUST)
def test_fleet_too_small_for_a_rule_is_refused_before_anything_starts(
    tmp_path: Path, name: str
) -> None:
    config = project(tmp_path, strategy={"name": name, "attackers": 9})
    with pytest.raises(FleetgradError, match=name) as caught:
        run(config)
    assert f"needs {STRATEGIES[name](attackers=9).least} updates" in caught.value.what  # type: ignore[call-arg]
    assert not config.run.dir.exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("median", {"attackers": -1}, "0 to 65535"),
        ("median", {"attaker": 1}, "attackers"),
        ("median", {"weight_exponent": 10}, "0 to 9"),
        ("geometric-median", {"steps": 0}, "1 to 1000"),
        ("fedavgm", {"decay": 1.0}, "0 to 0.9999"),
        ("fedadam", {"tau": 0.0}, "strategy.tau"),
        ("fedyogi", {"rate": "fast"}, "strategy.rate"),
        ("fltrust", {"root": 0}, "strategy.root"),
    ],
)
def test_options_out_of_range_are_refused_by_name(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_strategy(name, options, TRAIN)
    assert words in str(caught.value)


def test_momentum_of_nothing_is_fedavg() -> None:
    rounds = [[update(3, [1, -2, 3, -4, 5, -6, 7, -8]), update(9, [9, 1, 9, 1, 9, 1, 9, 1])]] * 2
    assert after(made("fedavgm", decay=0.0), *rounds).tolist() == after(FedAvg(), *rounds).tolist()


def test_momentum_is_kept_in_real_units_when_a_bias_unit_doubles() -> None:
    one = [update(4, [16] * 8)]
    plain, doubled = after(FedAvgM(), one), after(FedAvgM(), one, exponent=1)
    np.testing.assert_array_equal(plain, doubled)  # linear: units cancel within a round
    strategy = FedAvgM(decay=0.5)
    folded = Aggregator(strategy, LAYOUT)
    part = one[0]
    folded.add(1, part, Facts.of(part))
    first = folded.finish(GlobalModel(LAYOUT, np.zeros(8, np.int64), b"\0"), 1)
    again = Aggregator(strategy, LAYOUT, first.memory)
    still = update(4, [0] * 8)
    again.add(1, still, Facts.of(still))
    second = again.finish(first.model.grown(b"\1"), 2)
    moved = second.model.values - first.model.grown(b"\1").values
    # Half of 16 units: 8 of them for weights, 4 for biases, whose unit is twice as large now.
    assert (moved / 65536).tolist() == [4.0, 4.0] + [8.0] * 6


def test_adaptive_steps_are_equally_long_in_real_units() -> None:
    """Units of 1/2, 1/4 and 1/8: a first step of about the rate, whatever the unit."""
    moved = after(FedAdam(rate=0.1, tau=2.0**-30), [update(1, [100, 1, 1, 50, 100, 1, 50, 100])])
    units = [0.5] * 2 + [0.25] * 3 + [0.125] * 3
    steps = moved / 65536 * units
    np.testing.assert_allclose(steps, 0.1 * 0.1 / np.sqrt(0.01), rtol=1e-3)


def test_cap_limits_what_a_device_says_of_itself() -> None:
    liar, honest = update(65535, [100] * 8), update(20, [0] * 8)
    assert after(FedAvgM(decay=0.0), [liar, honest])[0] > 99 * 65536
    assert after(FedAvgM(decay=0.0, cap=20), [liar, honest])[0] == 50 * 65536


def test_stale_updates_count_less_and_make_the_step_smaller() -> None:
    folded = Aggregator(FedBuff(bound=3), LAYOUT)
    for device, (deltas, staleness) in enumerate([(96, 0), (64, 3), (127, 4)], start=1):
        part = update(device, [deltas] * 8)
        folded.add(device, part, Facts.of(part, staleness))
    found = folded.finish(GlobalModel(LAYOUT, np.zeros(8, np.int64), b"\0"), 1).model
    # 1/2 (96 + 64 / sqrt(1 + 3)); the third is too stale.
    assert (found.values / 65536).tolist() == [64.0] * 8
    alone = Aggregator(FedBuff(bound=3), LAYOUT)
    alone.add(1, part, Facts.of(part, 4))
    with pytest.raises(RoundError, match="fresh enough"):
        alone.finish(found, 2)


def test_fednova_takes_the_runs_terms() -> None:
    strategy = made("fednova")
    assert strategy == FedNova(epochs=2, batch=4)
    assert made("fednova", epochs=5, max_steps=7) == FedNova(epochs=5, batch=4, max_steps=7)
    # 8 samples: 4 steps; 2 samples: 2 steps. Per step 10 / 4 and -12 / 2, times (8*4 + 2*2) / 10.
    found = after(strategy, [update(8, [10] * 8), update(2, [-12] * 8)])
    np.testing.assert_allclose(found / 65536, (0.8 * 2.5 - 0.2 * 6.0) * 3.6, atol=1e-4)


def test_units_of_a_bundle_are_those_of_its_manifest(tmp_path: Path) -> None:
    layout = layout_of(load(write_bundle(tmp_path)))
    units = GlobalModel(layout, np.zeros(layout.count, np.int64)).real_units()
    assert units[:3].tolist() == [1 / 32] * 3
    assert units[3:].tolist() == (np.repeat([0.5, 0.25, 0.125], 8) / 256).tolist()


def test_bundle_that_does_not_say_its_units_is_refused_by_name() -> None:
    plain = GlobalModel(Layout(DIGEST, SEGMENTS), np.zeros(8, np.int64))
    with pytest.raises(BundleError, match="units"):
        plain.real_units()


# --- A device that lies --------------------------------------------------------------------------


def shouting(traits: Traits) -> Traits:
    """Device 4 sends its deltas with the largest exponents that there are, and a valid CRC."""
    largest = bytes(MAX_EXPONENT[kind] for kind, _ in traits.segments)

    def spoil(blob: bytes) -> bytes:
        if len(blob) == UpdateHeader.BYTES:
            return blob
        rest = blob[4 : UpdateHeader.BYTES] + largest + blob[UpdateHeader.BYTES + len(largest) :]
        return zlib.crc32(rest).to_bytes(4, "little") + rest

    return replace(traits, spoil=spoil) if traits.device == 4 else traits


def moved(config: Config, result: RunResult) -> int:
    """How far a parameter has come at the most, in its unit."""
    with Store(config.run.dir, writing=False) as store:
        base = store.model(store.ledger.run(result.run_id).base)
        return int(np.abs(store.model(result.version).values - base.values).max()) >> 16


@pytest.mark.parametrize("name", ["median", "trimmed-mean", "geometric-median", "norm-bound"])
def test_one_who_shouts_moves_a_mean_and_no_robust_rule(tmp_path: Path, name: str) -> None:
    plain = project(tmp_path, "run.dir=plain")
    assert moved(plain, run(plain, ModelFleet(bend=shouting))) > 1 << 20
    config = project(tmp_path, strategy={"name": name})
    assert moved(config, run(config, ModelFleet(bend=shouting))) < 1 << 12


def test_bound_refuses_a_shout_at_the_door_and_the_log_says_so(tmp_path: Path) -> None:
    config = project(tmp_path, strategy={"name": "median", "weight_exponent": 3})
    result = run(config, ModelFleet(bend=shouting))
    assert [row.accepted for row in result.rounds] == [(1, 2, 3)] * 3
    with Store(config.run.dir, writing=False) as store:
        unfit = [line for line in store.ledger.events() if line.kind == "unfit"]
        assert [(line.round, line.device) for line in unfit] == [(1, 4), (2, 4), (3, 4)]
        assert "an exponent of 9 for weight deltas, beyond 3" in unfit[0].text
        assert len(replay(store, result.run_id).rounds) == 3
