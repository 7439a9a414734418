# SPDX-License-Identifier: Apache-2.0
"""A run killed with SIGKILL at any moment goes on where it was, and ends where it would have."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleetgrad.run import execute
from fleetgrad.store import Store
from support.federation import ModelFleet, project
from support.ledgers import begun

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "killed_run.py"
MOST_COMMITS = 60


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    return execute(project(folder), folder / "bundle", ModelFleet()).model_digest


def start(folder: Path, moment: str, count: int, work_ms: int = 5) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, folder, moment, count, work_ms]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)


def ledger_of(folder: Path) -> list[tuple[int, int]]:
    """(round, device) of every update that counts."""
    if not begun(folder / "runs"):
        return []
    with Store(folder / "runs", writing=False) as store:
        return [
            (u.round, u.device)
            for run in store.ledger.runs()
            for u in store.ledger.updates(run.run_id)
        ]


def reported(folder: Path) -> bool:
    """The caller had its result: the kill came too late to interrupt anything."""
    if not begun(folder / "runs"):
        return False
    with Store(folder / "runs", writing=False) as store:
        return [run.state for run in store.ledger.runs()] == ["reported"]


def finish(folder: Path, before: list[tuple[int, int]]) -> str:
    """Resumes, and checks that what was accepted is still there, once."""
    if reported(folder):
        return execute(project(folder), folder / "bundle", ModelFleet()).model_digest
    result = execute(project(folder), folder / "bundle", ModelFleet())
    after = ledger_of(folder)
    assert set(before) <= set(after), "an accepted update was lost"
    assert len(after) == len(set(after)) == 4 * 4, "an update counted twice"
    with Store(folder / "runs", writing=False) as store:
        assert len(store.ledger.runs()) == 1
        assert [v.parent for v in store.ledger.versions()] == [None, 1, 2, 3]
    return result.model_digest


@pytest.mark.parametrize("moment", ["before", "after", "sent"])
def test_killed_at_every_commit_and_receipt(tmp_path: Path, undisturbed: str, moment: str) -> None:
    kills = 0
    for count in range(1, MOST_COMMITS):
        folder = tmp_path / str(count)
        process = start(folder, moment, count)
        printed, _ = process.communicate(timeout=60)
        if process.returncode == 0:
            assert printed.strip() == undisturbed
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        assert finish(folder, ledger_of(folder)) == undisturbed, f"{moment} commit {count}"
    assert kills >= 5, "there are at least that many commits in a run of four rounds"


def test_killed_again_and_again_at_any_time(tmp_path: Path, undisturbed: str) -> None:
    dice = random.Random(20)
    kills = 0
    for life in range(40):  # longer and longer: the first ends too early, some last long enough
        before = ledger_of(tmp_path)
        process = start(tmp_path, "never", 0, work_ms=120)
        time.sleep(dice.uniform(0.1, 0.3 + 0.1 * life))
        process.kill()
        process.communicate(timeout=60)
        assert set(before) <= set(ledger_of(tmp_path)), "an accepted update was lost"
        kills += process.returncode != 0
        if reported(tmp_path):
            break
    assert kills >= 1
    assert len(ledger_of(tmp_path)) == 16
    with Store(tmp_path / "runs", writing=False) as store:
        newest = store.newest()
        assert newest
        assert newest.digest == undisturbed
