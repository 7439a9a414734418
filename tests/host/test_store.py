# SPDX-License-Identifier: Apache-2.0
"""The ledger and the model store: durable, whole, exclusive, and honest about damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetgrad.errors import StorageFullError, StoreError
from fleetgrad.run import Services, execute
from fleetgrad.store import Blobs, Store, UpdateRow
from fleetgrad.store.schema import wal_is_safe
from support.federation import ModelFleet, project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with one finished run of three rounds."""
    folder = tmp_path_factory.mktemp("store")
    config = project(folder)
    execute(config, folder / "bundle", ModelFleet())
    return config.run.dir


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Store:
    """A copy of it to write to."""
    subprocess.run(["cp", "-r", finished, tmp_path / "runs"], check=True)
    return Store(tmp_path / "runs", writing=True)


# --- Versions ------------------------------------------------------------------------------------


def test_versions_form_a_chain_from_the_factory(store: Store) -> None:
    versions = store.ledger.versions()
    assert [v.parent for v in versions] == [None, 1, 2, 3]
    assert versions[0].created_by == "factory"
    assert versions[3].created_by.endswith("round 3")
    assert all(v.accuracy is not None for v in versions)


def test_rollback_makes_a_new_version_with_the_old_numbers(store: Store) -> None:
    made = store.rollback(2, now=1.0)
    assert (made.version, made.parent, made.created_by) == (5, 4, "rollback to 2")
    assert made.digest == store.ledger.version(2).digest
    assert store.newest() == made
    assert (store.model(5).values == store.model(2).values).all()
    assert [e.kind for e in store.ledger.events()][-1] == "rollback"


def test_rollback_to_what_is_current_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="is what the current version 4 is already"):
        store.rollback(4, now=1.0)


def test_unknown_version_and_run_are_named(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no version 9(?s:.)*1 to 4"):
        store.export(9)
    with pytest.raises(StoreError, match="no run nothing"):
        store.ledger.run("nothing")


def test_export_puts_the_rounded_weights_into_the_model_file(store: Store) -> None:
    data = store.export(4)
    vector = store.model(4).vector()
    biases = np.frombuffer(vector[:12], "<i4")
    masters = np.frombuffer(vector[12:], "<i2").astype(int)
    assert data[8:20] == biases.astype("<i4").tobytes()
    weights = np.clip((masters + 128) >> 8, -127, 127).astype(np.int8)
    assert data[32:56] == weights.tobytes()
    assert data[:8] + data[20:32] + data[56:] == bytes([*range(8), *range(20, 32), *range(56, 64)])


def test_export_without_a_number_is_the_current_version(store: Store) -> None:
    assert store.export() == store.export(4)


def test_difference_names_every_tensor(store: Store) -> None:
    bias, weight = store.diff(1, 4)
    assert (bias.name, bias.kind, bias.count) == ("bias", "bias", 3)
    assert weight.largest >= weight.mean > 0
    assert all(d.changed == 0 and d.largest == 0 for d in store.diff(2, 2))


def test_everything_needed_for_export_is_in_the_store(store: Store, finished: Path) -> None:
    subprocess.run(["rm", "-r", finished.parent / "bundle"], check=True)
    assert len(store.export(1)) == 64


# --- Damage --------------------------------------------------------------------------------------


def test_damaged_parameters_are_noticed(store: Store) -> None:
    path = store.directory / "blobs" / store.ledger.version(3).params
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(StoreError, match="is damaged"):
        store.model(3)


def test_missing_parameters_are_noticed(store: Store) -> None:
    (store.directory / "blobs" / store.ledger.version(3).params).unlink()
    with pytest.raises(StoreError, match="No such file"):
        store.model(3)


def test_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="damaged, or no ledger"):
        Store(tmp_path, writing=True)
    (tmp_path / "ledger.sqlite").unlink()
    Store(tmp_path, writing=True).close()  # the lock was let go


def test_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, writing=True).close()
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match=r"a ledger of version 99(?s:.)*version 4"):
        Store(tmp_path, writing=True)


def test_reader_leaves_a_ledger_that_is_still_empty_alone(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()  # its writer was killed before the first commit
    with pytest.raises(StoreError, match="still empty"):
        Store(tmp_path, writing=False)
    assert (tmp_path / "ledger.sqlite").stat().st_size == 0
    Store(tmp_path, writing=True).close()
    Store(tmp_path, writing=False).close()


@pytest.mark.parametrize("writing", [True, False])
def test_database_of_something_else_is_left_alone(tmp_path: Path, writing: bool) -> None:
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("CREATE TABLE diary (text)")
    db.close()
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(StoreError, match="a database, but no ledger"):
        Store(tmp_path, writing=writing)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_half_written_files_of_a_killed_writer_are_removed_by_the_next(store: Store) -> None:
    store.close()
    partial = store.directory / "blobs" / ".partial-x"
    partial.write_bytes(b"half")
    Store(store.directory, writing=False).close()
    assert partial.exists()
    Store(store.directory, writing=True).close()
    assert not partial.exists()


def test_damaged_file_of_a_bundle_is_repaired_by_the_next_run(tmp_path: Path) -> None:
    config = project(tmp_path)
    execute(config, tmp_path / "bundle", ModelFleet())
    blob = (
        config.run.dir
        / "blobs"
        / Blobs(tmp_path / "b").put((tmp_path / "bundle" / "model.tflite").read_bytes())
    )
    blob.write_bytes(b"")
    execute(config, tmp_path / "bundle", ModelFleet())
    with Store(config.run.dir, writing=False) as reader:
        assert len(reader.export()) == 64


def test_reading_what_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no ledger yet(?s:.)*fleetgrad run"):
        Store(tmp_path / "none", writing=False)
    assert not (tmp_path / "none").exists()


# --- Exclusion -----------------------------------------------------------------------------------


def test_second_writer_is_told_who_holds_the_directory(store: Store) -> None:
    with pytest.raises(StoreError, match=rf"another process(?s:.)*pid {os.getpid()}"):
        Store(store.directory, writing=True)
    store.close()
    Store(store.directory, writing=True).close()


def test_reader_works_beside_a_writer(store: Store) -> None:
    with Store(store.directory, writing=False) as reader:
        assert len(reader.ledger.versions()) == 4


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from fleetgrad.store import Store\n"
        "Store(Path(sys.argv[1]), writing=True); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    Store(tmp_path, writing=True).close()


# --- Durability ----------------------------------------------------------------------------------


def test_update_cannot_be_recorded_twice(store: Store) -> None:
    run_id = store.ledger.runs()[0].run_id
    before = len(store.ledger.updates(run_id))
    with pytest.raises(StoreError, match="UNIQUE"), store.ledger.write(0.0) as transaction:
        transaction.add_update(run_id, UpdateRow(3, 1, 1, 1, 1, 1, 1, "ab"), b"again")
    assert len(store.ledger.updates(run_id)) == before


def write_and_stop(store: Store) -> None:
    with store.ledger.write(0.0) as transaction:
        transaction.note("lost", "never to be seen")
        raise KeyboardInterrupt


def test_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(store)
    assert "never to be seen" not in [e.text for e in store.ledger.events()]


def test_commits_reach_the_disk_before_they_return(store: Store) -> None:
    db = store.ledger._db
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    expected = "wal" if wal_is_safe(sqlite3.sqlite_version_info) else "delete"
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == expected


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_write_ahead_log_is_used_only_where_it_loses_nothing(
    version: tuple[int, ...], safe: bool
) -> None:
    assert wal_is_safe(version) is safe


# --- A full disk ---------------------------------------------------------------------------------


class FullBlobs(Blobs):
    """A folder on a disk that fills up after some files."""

    room = 0

    def put(self, data: bytes) -> str:
        if FullBlobs.room == 0:
            raise StorageFullError("no space left while writing a file")
        FullBlobs.room -= 1
        return super().put(data)


def test_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFullError, match=r"no space left(?s:.)*it resumes"):
        Blobs(tmp_path / "blobs").put(b"data")
    assert list((tmp_path / "blobs").iterdir()) == []


@pytest.mark.parametrize("room", range(4, 7))
def test_run_on_a_disk_that_fills_up_resumes_when_there_is_space(tmp_path: Path, room: int) -> None:
    undisturbed = execute(project(tmp_path / "a"), tmp_path / "a" / "bundle", ModelFleet())
    config = project(tmp_path / "b")
    FullBlobs.room = room

    def open_store(directory: Path) -> Store:
        store = Store(directory, writing=True)
        store.blobs = FullBlobs(directory / "blobs")
        return store

    with pytest.raises(StorageFullError) as caught:
        execute(
            config,
            tmp_path / "b" / "bundle",
            ModelFleet(),
            services=Services(open_store=open_store),
        )
    assert caught.value.exit_code == 1
    result = execute(config, tmp_path / "b" / "bundle", ModelFleet())
    assert result.resumed
    assert result.model_digest == undisturbed.model_digest


def fill(store: Store) -> None:
    for _ in range(100):
        with store.ledger.write(0.0) as transaction:
            transaction.note("lost", "x" * 5000)
            transaction.note("lost", "y" * 5000)


def test_full_ledger_is_named_and_nothing_half_written(store: Store) -> None:
    db = store.ledger._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    events = len(store.ledger.events())
    with pytest.raises(StorageFullError, match="no space left while writing the ledger"):
        fill(store)
    db.execute("PRAGMA max_page_count = 1000000")
    texts = [e.text[0] for e in store.ledger.events()][events:]
    assert texts.count("x") == texts.count("y")
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
