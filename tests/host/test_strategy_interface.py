# SPDX-License-Identifier: Apache-2.0
"""What any strategy can rely on: weights, memory, all updates in blocks; and named refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from fleetgrad.device import Shape, Update
from fleetgrad.errors import ConfigError, RoundError, StoreError
from fleetgrad.federation.cohort import KeptCohort, blocks
from fleetgrad.federation.exact import divide
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import FRACTION_BITS, GlobalModel, Layout
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.strategies import STRATEGIES, Averaging, Cohort, Next, Robust
from fleetgrad.run import Services, execute
from fleetgrad.run.cohort import LedgerCohort, counted
from fleetgrad.run.replay import replay
from fleetgrad.settings import Range
from fleetgrad.store import Store
from support.federation import SEGMENTS, ModelFleet, project
from support.runs import run

ROUNDS = 3


@dataclass(frozen=True)
class Heavy(Averaging):
    """Momentum in whole units, weighted by nothing; it refuses what is too large."""

    name: ClassVar[str] = "heavy"
    numbers: ClassVar[int] = 2

    beta: float = field(default=0.5, metadata={"check": Range(0.0, 1.0)})
    largest: int = 127

    def weigh(self, facts: Facts) -> tuple[int, ...]:
        return 1, facts.samples

    def refusal(self, update: Update, layout: Layout) -> str:
        top = int(np.abs(update.deltas).max())
        return f"a delta of {top}" if top > self.largest else ""

    def finish(self, model: GlobalModel, total: PartialSum, memory: bytes) -> Next:
        mean = divide(total.sums, total.weights[0], FRACTION_BITS).astype(np.float64)
        momentum = self.beta * np.frombuffer(memory) + mean if memory else mean
        made = replace(model, values=model.values + np.rint(momentum).astype(np.int64))
        return Next(made, momentum.tobytes())


@dataclass(frozen=True)
class Median(Robust):
    """Coordinate by coordinate, in blocks of a few."""

    name: ClassVar[str] = "median"

    faulty: int = 1

    @property
    def least(self) -> int:
        return 2 * self.faulty + 1

    def combine(self, model: GlobalModel, cohort: Cohort, memory: bytes) -> Next:
        values = model.values.copy()
        for start, stop, block in blocks(cohort, model.layout, limit=8 * 4 * 5):
            middle = np.sort(block, axis=0)[(len(cohort.devices) - 1) // 2]
            values[start:stop] += middle << FRACTION_BITS
        return Next(replace(model, values=values), memory + b"!")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: Mapping[str, Any] = {**STRATEGIES, "heavy": Heavy, "median": Median}
    monkeypatch.setattr("fleetgrad.federation.strategies.STRATEGIES", kinds)


def oracle(store: Store, run_id: str, name: str) -> list[int]:
    """The last version in Python's own numbers, from the blobs."""
    row = store.ledger.run(run_id)
    values = [int(v) for v in store.model(row.base).values]
    momentum = [0.0] * len(values)
    for found in store.ledger.rounds(run_id)[:ROUNDS]:
        vectors = []
        for _, update in counted(store, row, found):
            scales = [
                2 ** update.exponents[i] for i, (_, n) in enumerate(SEGMENTS) for _ in "x" * n
            ]
            vectors.append([int(q) * s for q, s in zip(update.deltas, scales, strict=True)])
        for i, column in enumerate(zip(*vectors, strict=True)):
            if name == "median":
                values[i] += sorted(column)[(len(column) - 1) // 2] * 65536
                continue
            total = abs(sum(column)) * 65536
            mean = (2 * total + len(column)) // (2 * len(column)) * (1 if sum(column) >= 0 else -1)
            momentum[i] = 0.5 * momentum[i] + mean
            values[i] += round(momentum[i])
    return values


@pytest.mark.parametrize("name", ["heavy", "median"])
def test_run_makes_what_the_strategy_means_and_replays_exactly(tmp_path: Path, name: str) -> None:
    config = project(tmp_path, strategy={"name": name})
    result = run(config)
    with Store(config.run.dir, writing=False) as store:
        assert store.model(result.version).values.tolist() == oracle(store, result.run_id, name)
        assert len(replay(store, result.run_id).rounds) == ROUNDS
        memories = {store.memory(row.version) for row in result.rounds}
        assert len(memories) == ROUNDS
        row = store.ledger.version(result.version)
        (config.run.dir / "blobs" / row.memory).unlink()
    with Store(config.run.dir, writing=True) as store:
        with pytest.raises(StoreError, match="reading the model store"):
            store.memory(result.version)
        assert replay(store, result.run_id, restore=True).rounds[-1].restored
        assert store.memory(result.version) in memories


def test_another_memory_is_noticed(tmp_path: Path) -> None:
    config = project(tmp_path, strategy={"name": "heavy"})
    result = run(config)
    with Store(config.run.dir, writing=True) as store:
        other = store.ledger.version(result.version - 1).memory
        with store.ledger.write(0.0) as transaction:
            transaction._db.execute(
                "UPDATE versions SET memory = ? WHERE version = ?", (other, result.version)
            )
        with pytest.raises(StoreError, match="with the memory of its strategy"):
            replay(store, result.run_id)


@pytest.mark.parametrize("name", ["fedavg", "heavy", "median"])
def test_interrupted_run_ends_with_the_same_model(tmp_path: Path, name: str) -> None:
    class Killed(BaseException):
        pass

    undisturbed = run(project(tmp_path / "a", strategy={"name": name}))
    config = project(tmp_path / "b", strategy={"name": name})
    run(replace(config, rounds=replace(config.rounds, count=1)))  # something older is in the ledger
    first = True

    class Once(Store):
        """Stops after a round's updates were recorded, before its version was."""

        def keep_model(self, model: GlobalModel) -> str:
            nonlocal first
            if first:
                first = False
                raise Killed
            return super().keep_model(model)

    services = Services(open_store=lambda directory: Once(directory, writing=True))
    with pytest.raises(Killed):
        execute(config, tmp_path / "b/bundle", ModelFleet(), services=services)
    result = run(config)
    assert result.resumed
    assert result.model_digest == undisturbed.model_digest


def test_cohort_in_the_ledger_is_the_one_in_memory(tmp_path: Path) -> None:
    config = project(tmp_path)
    result = run(config)
    with Store(config.run.dir, writing=False) as store:
        row = store.ledger.run(result.run_id)
        found = store.ledger.rounds(result.run_id)[1]
        kept = KeptCohort(dict(counted(store, row, found)))
        stored = LedgerCohort(store, row, found)
        assert stored.devices == kept.devices == [1, 2, 3, 4]
        assert stored.facts == kept.facts
        layout = store.model(1).layout
        for limit in (1, 100, 1 << 20):
            pieces = list(blocks(stored, layout, limit))
            assert all(
                a[:2] == b[:2] and (a[2] == b[2]).all()
                for a, b in zip(pieces, blocks(kept, layout, limit), strict=True)
            )
            whole = np.concatenate([piece for _, _, piece in pieces], axis=1)
            assert whole.shape == (4, layout.count)
            assert [stop for _, stop, _ in pieces][:-1] == [start for start, _, _ in pieces][1:]
    assert layout.shape == Shape(SEGMENTS)


def test_unfit_update_is_refused_and_told(tmp_path: Path) -> None:
    config = project(
        tmp_path, "rounds.count=1", strategy={"name": "heavy", "largest": 1}, rounds={"retries": 0}
    )
    with pytest.raises(RoundError, match="has 0 of the 1 updates"):
        run(config)
    with Store(config.run.dir, writing=False) as store:
        kinds = [event.kind for event in store.ledger.events()]
    assert kinds.count("unfit") == 4
    assert "accepted" not in kinds


def test_cohort_too_small_for_the_strategy_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    config = project(tmp_path, strategy={"name": "median", "faulty": 2})
    with pytest.raises(ConfigError, match=r"median needs 5 updates(?s:.)*at most 4"):
        run(config)
    assert not config.run.dir.exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "fedavgg"}, "no strategy 'fedavgg'(?s:.)*fedavg"),
        ({"name": "fedavg", "beta": 0.5}, "fedavg has no options"),
        ({"name": "heavy", "bta": 0.5}, r"bta(?s:.)*did you mean strategy\.beta"),
        ({"name": "heavy", "beta": 1.5}, r"strategy\.beta is 1\.5(?s:.)*0 to 1"),
        ({"name": "heavy", "beta": "much"}, r"strategy\.beta is 'much'(?s:.)*a number"),
        ({"name": "heavy", "options": 1}, r"strategy\.options"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(project(tmp_path, strategy=table))


def test_options_are_part_of_what_a_run_is(tmp_path: Path) -> None:
    plain = project(tmp_path, strategy={"name": "heavy"})
    other = project(tmp_path, "strategy.beta=0.25", strategy={"name": "heavy"})
    assert plain.fingerprint() != other.fingerprint()
    assert other.to_dict()["strategy"] == {"name": "heavy", "beta": 0.25}
