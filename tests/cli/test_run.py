# SPDX-License-Identifier: Apache-2.0
"""The way from a plan to versions of a model, through the command line alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetgrad.cli.oracles import run_litert
from fleetgrad.store import Store
from support.outcome import Run


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for the digits example in a run directory of its own: 3 rounds, 4 devices."""
    checkout = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("run")
    options = ["--config", str(checkout / "examples" / "digits" / "fleetgrad.toml")]
    for setting in (
        f"run.dir={folder}",
        "rounds.count=3",
        "fleet.devices=4",
        "rounds.min_updates=2",
    ):
        options += ["--set", setting]
    return options


@pytest.fixture(scope="module")
def finished(plan: list[str]) -> dict[str, Any]:
    """What `run --json` said of the run in the plan's directory."""
    command = [sys.executable, "-m", "fleetgrad", "run", "--fleet", "virtual", "--json", *plan]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_run_learns_and_leaves_versions_and_a_story(
    fleetgrad: Run, plan: list[str], finished: dict[str, Any], tmp_path: Path
) -> None:
    result = finished
    assert result["fleet"] == "virtual"
    assert len(result["rounds"]) == 3
    assert result["accuracy_after"] > result["accuracy_before"] + 0.1

    versions = fleetgrad("models", "list", "--json", *plan).json["versions"]
    assert [version["version"] for version in versions] == [1, 2, 3, 4]
    assert versions[-1]["digest"] == result["model_digest"]
    assert versions[0]["created_by"] == "factory"
    assert versions[-1]["accuracy"] == result["accuracy_after"]

    shown = fleetgrad("models", "show", "4", "--json", *plan).json
    assert shown["parent"] == 3
    tensors = fleetgrad("models", "diff", "1", "4", "--json", *plan).json["tensors"]
    assert all(tensor["changed"] > 0 for tensor in tensors)

    story = fleetgrad("log", "--json", *plan).json
    assert story["run_id"] == result["run_id"]
    assert story["state"] != "open"
    assert fleetgrad("log", *plan).code == 0

    learned = tmp_path / "learned.tflite"
    assert fleetgrad("models", "export", "-o", learned, *plan).code == 0
    assert run_litert(learned.read_bytes(), np.zeros((1, 8, 8, 1), np.int8)).shape == (1, 10)

    back = fleetgrad("models", "rollback", "1", "--json", *plan).json
    assert back["version"] == 5
    assert back["digest"] == versions[0]["digest"]


@pytest.mark.parametrize(
    "kind", ["virtual", "native", pytest.param("qemu", marks=pytest.mark.emulated)]
)
def test_every_fleet_ends_with_the_same_digest(
    *,
    fleetgrad: Run,
    plan: list[str],
    finished: dict[str, Any],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    if kind == "qemu":
        request.getfixturevalue("emulator")
    outcome = fleetgrad("run", "--fleet", kind, "--json", *plan, "--set", f"run.dir={tmp_path}")
    assert outcome.code == 0
    assert outcome.json["model_digest"] == finished["model_digest"]


def test_run_killed_in_mid_round_goes_on_to_the_same_digest(
    fleetgrad: Run, plan: list[str], finished: dict[str, Any], tmp_path: Path
) -> None:
    options = ["--fleet", "virtual", "-v", *plan, "--set", f"run.dir={tmp_path}"]
    command = [sys.executable, "-m", "fleetgrad", "run", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"in the ledger" in line:
                break
        process.send_signal(signal.SIGKILL)
    outcome = fleetgrad("run", "--json", *options)
    assert outcome.code == 0
    assert outcome.json["resumed"] is True
    assert outcome.json["model_digest"] == finished["model_digest"]


def test_run_interrupted_politely_says_that_it_can_go_on(plan: list[str], tmp_path: Path) -> None:
    options = ["--fleet", "native", "-v", *plan, "--set", f"run.dir={tmp_path}"]
    command = [sys.executable, "-m", "fleetgrad", "run", *options, "--set", "rounds.count=2000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"in the ledger" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    assert process.returncode == 3
    assert b"interrupted" in rest
    assert b"Traceback" not in rest


def test_run_under_way_keeps_its_firmware_from_another_run(
    fleetgrad: Run, plan: list[str], tmp_path: Path
) -> None:
    where = ["--set", f"run.dir={tmp_path / 'run'}"]
    with Store(tmp_path / "run", writing=True):
        outcome = fleetgrad("run", "--fleet", "virtual", *plan, *where)
    assert outcome.code == 1
    assert "another process is using this run directory" in outcome.err
    assert not (tmp_path / "run" / "build").exists()


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("rounds.min_updates=9", "can never be reached"),
        ("train.batch=4000", "batch"),
        ("scheme.name=lastlayer", "there is no scheme 'lastlayer'"),
        ("train.lerning_rate=1", "did you mean train.learning_rate?"),
        ("fleet.board=mps3", "no board is called 'mps3'"),
        ("data.path=nowhere.npz", "nowhere.npz"),
    ],
)
def test_bad_plans_change_nothing(
    fleetgrad: Run, plan: list[str], tmp_path: Path, setting: str, complaint: str
) -> None:
    folder = tmp_path / "run"
    kind = "qemu" if "board" in setting else "virtual"
    options = [*plan, "--set", f"run.dir={folder}", "--set", setting]
    outcome = fleetgrad("run", "--fleet", kind, *options)
    assert outcome.code == 2
    assert complaint in outcome.err
    assert not (folder / "ledger.sqlite").exists()


def test_data_that_does_not_fit_names_the_shape(
    fleetgrad: Run, plan: list[str], tmp_path: Path
) -> None:
    x = np.zeros((8, 28, 28, 1), np.int8)
    np.savez(tmp_path / "d.npz", x=x, y=np.zeros(8, np.uint8), user=np.arange(8) % 4)
    outcome = fleetgrad("run", "--fleet", "virtual", *plan, "--set", f"data.path={tmp_path}/d.npz")
    assert outcome.code == 2
    assert "28" in outcome.err
    assert "8, 8, 1" in outcome.err.replace("x", ", ")


def test_missing_emulator_says_how_to_get_it(
    plan: list[str], tmp_path: Path, emulator: None
) -> None:
    import os
    import shutil

    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("arm-none-eabi-gcc", "as", "ld"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    command = [sys.executable, "-m", "fleetgrad", "run", "--fleet", "qemu", *plan]
    done = subprocess.run(
        [*command, "--set", f"run.dir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tools)},
        check=False,
    )
    assert done.returncode == 1
    assert "apt install qemu-system-arm" in done.stderr
    assert "Traceback" not in done.stderr
