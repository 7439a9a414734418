# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, folders that cannot be written: named, and what was committed stays."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgrad.cli import main
from fleetgrad.errors import StorageFullError, StoreError
from fleetgrad.run import execute
from fleetgrad.store import LEDGER, Ledger, Store
from fleetgrad.store.schema import SCHEMA_VERSION
from support.federation import ModelFleet, project
from support.ledgers import begun
from support.runs import IMPATIENT, expected, run

NOBODY = 65534


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count, whoever runs the tests."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into."""
    folder = Path(tempfile.mkdtemp(prefix="fleetgrad-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_run_directory_that_cannot_be_made_is_named(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="Permission denied") as caught:
        Store(open_folder / "runs", writing=True)
    assert str(open_folder / "runs") in caught.value.where
    assert list(open_folder.iterdir()) == []


def test_read_only_run_directory_is_named_and_stays_as_it_was(open_folder: Path) -> None:
    config = project(open_folder)
    run(config)
    directory = config.run.dir
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with unprivileged(), pytest.raises(StoreError, match=r"Permission denied|readonly"):
        run(config)
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == before


def test_read_only_run_directory_can_be_read(
    open_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = project(open_folder)
    (open_folder / "fleetgrad.toml").write_text('[model]\npath = "model.tflite"\n')
    run(config)
    for path in (config.run.dir, *config.run.dir.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    capfd.readouterr()
    with unprivileged():
        code = main(["log", "--config", str(open_folder / "fleetgrad.toml"), "--json"])
    assert code == 0
    assert json.loads(capfd.readouterr().out)["state"] == "reported"


@pytest.mark.parametrize("extra", [0, 1, 2, 4, 6])
def test_disk_that_is_full_in_mid_commit_loses_nothing(tmp_path: Path, extra: int) -> None:
    """SQLite itself runs out of pages, at several places of a run; with room again it goes on."""
    limits: dict[Path, int] = {}

    class SmallLedger(Ledger):
        def __init__(self, path: Path, *, writing: bool = True) -> None:
            super().__init__(path, writing=writing)
            pages = self._db.execute("PRAGMA page_count").fetchone()[0]
            limit = limits.setdefault(path, pages + extra)
            self._db.execute(f"PRAGMA max_page_count = {limit}")

    class SmallStore(Store):
        def _open_ledger(self, path: Path, *, writing: bool) -> Ledger:
            return SmallLedger(path, writing=writing)

    config = project(tmp_path, "rounds.count=12")
    small = replace(IMPATIENT, open_store=lambda d: SmallStore(d, writing=True))
    with pytest.raises(StorageFullError, match="no space left while writing the ledger") as caught:
        execute(config, tmp_path / "bundle", ModelFleet(), None, small)
    assert "resumes" in caught.value.hint
    held = accepted(config.run.dir)
    result = run(config)
    assert result.model_digest == expected(config)
    after = accepted(config.run.dir)
    assert set(held) <= set(after)
    assert len(after) == len(set(after)) == 4 * 13


def accepted(directory: Path) -> list[tuple[int, int]]:
    """Round and device of every update that counts."""
    if not begun(directory):
        return []
    with Store(directory, writing=False) as store:
        return [
            (update.round, update.device)
            for row in store.ledger.runs()
            for update in store.ledger.updates(row.run_id)
        ]


def test_ledger_of_a_newer_version_is_refused_by_run_and_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = project(tmp_path)
    (tmp_path / "fleetgrad.toml").write_text('[model]\npath = "model.tflite"\n')
    run(config)
    path = config.run.dir / LEDGER
    with contextlib.closing(sqlite3.connect(path)) as ledger:
        ledger.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"a ledger of version {SCHEMA_VERSION + 1}"):
        run(config)
    assert main(["log", "--config", str(tmp_path / "fleetgrad.toml")]) == 1
    said = capfd.readouterr().err
    assert f"a ledger of version {SCHEMA_VERSION + 1}" in said
    assert "use the fleetgrad that made it" in said
    assert path.read_bytes() == before
