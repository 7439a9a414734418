# SPDX-License-Identifier: Apache-2.0
"""The examples as their readers run them, on the fleet that needs no emulator."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler

if TYPE_CHECKING:
    from pathlib import Path

TRAINED_WEIGHTS = 1450


@pytest.fixture(scope="module", autouse=True)
def compiler() -> None:
    """Skips where no fleet can be built."""
    try:
        find_compiler(load_board(paths.boards(), "native").compiler.family)
    except ToolError as error:
        pytest.skip(f"no compiler for this machine: {error.what}")


def run(plan: Path, *settings: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "fleetgrad", "run", "--fleet", "virtual", "--json"]
    command += ["--config", str(plan), *(word for s in settings for word in ("--set", s))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_tilted_cameras_learn_what_the_factory_missed_at_a_byte_per_weight(
    checkout: Path, tmp_path: Path
) -> None:
    result = run(checkout / "examples" / "digits" / "fleetgrad.toml", f"run.dir={tmp_path}")
    assert result["accuracy_before"] == pytest.approx(0.6, abs=0.01)
    assert result["accuracy_after"] > 0.93
    accuracies = [entry["accuracy"] for entry in result["rounds"]]
    assert accuracies[2] > 0.8  # most is learned early
    # A loaded machine may make a device send something twice: not in every round.
    uplink = [entry["bytes_up"] / len(entry["accepted"]) for entry in result["rounds"]]
    assert min(uplink) <= 1.1 * TRAINED_WEIGHTS


def test_speakers_teach_the_keyword_model_three_new_words(
    checkout: Path, shared_data: Path, tmp_path: Path
) -> None:
    folder = checkout / "examples" / "keywords"
    features = shared_data / "datasets" / "speech_commands_3words_mfcc.npz"
    data = tmp_path / "keywords.npz"
    arguments = [features, "-o", data, "--speakers", 32, "--boards", 4]
    command = [sys.executable, folder / "prepare.py", *arguments]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    result = run(
        folder / "fleetgrad.toml",
        f"model.path={shared_data / 'models' / 'mlperf_kws_ref_model.tflite'}",
        f"data.path={data}",
        f"run.dir={tmp_path / 'run'}",
        "rounds.count=3",
    )
    assert result["accuracy_before"] < 0.5
    assert result["accuracy_after"] > 0.75


def test_people_teach_the_motion_model_that_its_sensor_is_turned(
    checkout: Path, shared_data: Path, tmp_path: Path
) -> None:
    folder = checkout / "examples" / "har"
    data = tmp_path / "har.npz"
    source = shared_data / "datasets" / "uci_hapt_windows.npz"
    command = [sys.executable, folder / "make_boards.py", source, "-o", data, "--people", "21-24"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    result = run(
        folder / "fleetgrad.toml",
        f"data.path={data}",
        f"run.dir={tmp_path / 'run'}",
        "rounds.count=5",
    )
    assert result["accuracy_before"] < 0.35
    assert result["accuracy_after"] > 0.75


def test_compare_prints_both_sides_and_their_gap(checkout: Path) -> None:
    examples = checkout / "examples"
    command = [sys.executable, examples / "compare.py", examples / "digits" / "fleetgrad.toml"]
    command += ["--rates", "0.05", "--seeds", "1", "--set", "rounds.count=2"]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=True
    )
    row = re.search(r"^0\.05 +(\S+) \(\S+\) +(\S+) \(\S+\) +([+-]\d\.\d\d)$", done.stdout, re.M)
    assert row is not None, done.stdout
    fleet, float32, gap = map(float, row.groups())
    assert fleet > 80
    assert gap == pytest.approx(fleet - float32, abs=0.011)


def test_compare_tells_a_wrong_key_without_a_traceback(checkout: Path) -> None:
    examples = checkout / "examples"
    command = [sys.executable, examples / "compare.py", examples / "digits" / "fleetgrad.toml"]
    command += ["--rates", "0.05", "--set", "rounds.cuont=2"]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "rounds.count" in done.stderr
    assert "Traceback" not in done.stderr
