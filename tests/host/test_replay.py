# SPDX-License-Identifier: Apache-2.0
"""What was counted can be proved: replays recompute every version, and notice every change."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetgrad.config import Config
from fleetgrad.errors import StoreError
from fleetgrad.run.replay import replay
from fleetgrad.store import Store, verify
from support.federation import project
from support.runs import run

LEDGER = "ledger.sqlite"


@pytest.fixture
def finished(tmp_path: Path) -> Config:
    """The config of a run of three rounds over four devices that has ended."""
    config = project(tmp_path)
    run(config)
    return config


def tamper(config: Config, statement: str) -> None:
    """Changes the ledger behind its back."""
    with sqlite3.connect(config.run.dir / LEDGER) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        assert db.execute(statement).rowcount > 0


def last(store: Store) -> str:
    return store.ledger.runs()[-1].run_id


def test_replay_makes_every_version_again(finished: Config) -> None:
    with Store(finished.run.dir, writing=False) as store:
        found = replay(store, last(store))
        versions = {v.version: v.digest for v in store.ledger.versions()}
    assert [row.digest for row in found.rounds] == [versions[row.version] for row in found.rounds]
    assert [row.updates for row in found.rounds] == [4, 4, 4]
    # the closing evaluation is counted too: its updates carry metrics and no deltas
    assert found.decisions == {"accepted": 16, "duplicate": 0, "stale": 0, "malformed": 0}


def test_chain_covers_every_line(finished: Config) -> None:
    with Store(finished.run.dir, writing=False) as store:
        lines = store.ledger.events()
        assert verify(lines, "here") == lines[-1].chain
    assert len({line.chain for line in lines}) == len(lines)
    for gap in range(len(lines) - 1):
        with pytest.raises(StoreError, match="is not what was written"):
            verify([*lines[:gap], *lines[gap + 1 :]], "here")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE events SET text = 'all is well' WHERE id = 3", "line 3 of the ledger's story"),
        ("DELETE FROM events WHERE id = 2", "line 2 of the ledger's story"),
        ("UPDATE events SET device = 2 WHERE kind = 'accepted' AND device = 1", "is not what was"),
        (
            (
                "UPDATE updates SET blob = (SELECT blob FROM updates WHERE device = 2"
                " AND round = 1) WHERE device = 1 AND round = 1"
            ),
            "an update is lost or was changed: round 1, device 1",
        ),
        (
            "DELETE FROM updates WHERE device = 3 AND round = 2",
            "an update is lost or was changed: round 2, device 3",
        ),
        (
            (
                "INSERT INTO updates SELECT run_id, round, 9, samples, eval_samples, eval_correct,"
                " eval_loss, train_loss, digest, blob, sum, at FROM updates"
                " WHERE device = 1 AND round = 1"
            ),
            "an update was never accepted: round 1, device 9",
        ),
        (
            (
                "UPDATE versions SET digest = (SELECT digest FROM versions WHERE version = 2)"
                " WHERE version = 3"
            ),
            "version 3 is not the one that was made",
        ),
    ],
)
def test_change_behind_the_ledgers_back_is_named(
    finished: Config, statement: str, message: str
) -> None:
    tamper(finished, statement)
    with (
        Store(finished.run.dir, writing=False) as store,
        pytest.raises(StoreError, match=message),
    ):
        replay(store, last(store))


def test_version_that_its_updates_do_not_make_is_named(finished: Config) -> None:
    """Someone forges a version, and the story with it: the sum still tells."""
    with Store(finished.run.dir, writing=True) as store:
        model = store.model(3)
        forged = type(model)(model.layout, model.values + 1)
        name = store.keep_model(forged)
        run_id = last(store)
        number = store.ledger.version(3).round
        with store.ledger.write(1.0) as transaction:
            transaction.add_version(
                forged.digest.hex(),
                parent=2,
                bundle=store.ledger.version(3).bundle,
                params=name,
                created_by="nobody",
            )
    tamper(finished, f"UPDATE rounds SET version = 5 WHERE round = {number}")
    with (
        Store(finished.run.dir, writing=False) as store,
        pytest.raises(StoreError, match=f"round {number} does not make version 5"),
    ):
        replay(store, run_id)


def drop(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    path.write_bytes(b"\0" + path.read_bytes()[1:] + b"\1")


@pytest.mark.parametrize("harm", [drop, damage])
def test_lost_versions_are_computed_again(finished: Config, harm: Callable[[Path], None]) -> None:
    with Store(finished.run.dir, writing=False) as store:
        names = [v.params for v in store.ledger.versions()]
    paths = [next(finished.run.dir.rglob(name)) for name in names]
    before = [path.read_bytes() for path in paths]
    for path in paths[1:]:
        harm(path)
    with Store(finished.run.dir, writing=True) as store:
        assert not any(row.restored for row in replay(store, last(store)).rounds)
        with pytest.raises(StoreError):
            store.model(3)
        found = replay(store, last(store), restore=True)
        assert all(row.restored for row in found.rounds)
    assert [path.read_bytes() for path in paths] == before


def test_run_that_starts_from_a_lost_version_of_another_run(tmp_path: Path) -> None:
    config = project(tmp_path, run={"start": "current"})
    first = run(config)
    second = run(config)
    assert first.run_id != second.run_id
    with Store(config.run.dir, writing=False) as store:
        middle = store.ledger.run(second.run_id).base
        next(config.run.dir.rglob(store.ledger.version(middle).params)).unlink()
    with Store(config.run.dir, writing=False) as store:
        assert replay(store, second.run_id).rounds[-1].digest == second.model_digest


def test_factory_version_that_is_lost_is_named(finished: Config) -> None:
    with Store(finished.run.dir, writing=False) as store:
        next(finished.run.dir.rglob(store.ledger.version(1).params)).unlink()
        with pytest.raises(StoreError, match="reading the model store"):
            replay(store, last(store))
