# SPDX-License-Identifier: Apache-2.0
"""Exit codes, and errors that are told once and never as a traceback."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fleetgrad.cli import app
from fleetgrad.errors import ConfigError, FleetgradError
from fleetgrad_codegen.errors import BudgetError, ModelFormatError
from support.outcome import Run


def test_unknown_verb_names_the_nearest_one(fleetgrad: Run) -> None:
    outcome = fleetgrad("docter")
    assert outcome.code == 2
    assert "try: fleetgrad doctor" in outcome.err


def test_unknown_option_is_wrong_usage(fleetgrad: Run) -> None:
    outcome = fleetgrad("doctor", "--jsno")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert "fleetgrad doctor --help" in outcome.err


@pytest.mark.parametrize("verb", app.VERBS)
def test_every_verb_explains_itself(fleetgrad: Run, verb: str) -> None:
    outcome = fleetgrad(verb, "--help")
    assert outcome.code == 0
    assert "Usage: fleetgrad" in outcome.out


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ConfigError("a typo"), 2),
        (FleetgradError("no luck"), 1),
        (ModelFormatError("not a model"), 2),
        (BudgetError("too big"), 1),
        (KeyboardInterrupt(), 3),
        (click.Abort(), 3),
        (OSError(errno.ENOSPC, "No space left on device", "out.bin"), 1),
        (RuntimeError("a bug"), 1),
    ],
)
def test_whatever_is_raised_becomes_one_message_and_an_exit_code(
    fleetgrad: Run, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise raised

    monkeypatch.setattr(app.fleetgrad, "main", fail)
    outcome = fleetgrad("doctor", "--json")
    assert outcome.code == code
    assert outcome.err.splitlines()[0].startswith("error: ")
    assert outcome.json["error"]["exit_code"] == code


def test_full_disk_says_where_and_what_to_try() -> None:
    error = app.explain(OSError(errno.ENOSPC, "No space left on device", "build/model.c"))
    assert (error.what, error.where) == ("no space left on device", "build/model.c")
    assert "free some space" in error.hint


def test_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "import sys; from fleetgrad.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "doctor", "--json"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.stderr == ""


@pytest.mark.parametrize("form", [["--json"], []])
def test_output_that_cannot_be_written_is_one_message(form: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fleetgrad", "boards", *form],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: no space left on device")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_result_is_there_while_the_verb_goes_on() -> None:
    script = (
        "import os\nfrom fleetgrad.cli.ui import Ui\nUi(True, 0).result({'a': 1})\nos._exit(0)\n"
    )
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, env=surroundings, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", "\u00fc.tflite"), ("utf-8", b"\xff.tflite")]
)
def test_names_and_signs_beyond_the_terminal_are_told(encoding: str, name: str | bytes) -> None:
    surroundings = {**os.environ, "PYTHONIOENCODING": encoding}
    for arguments, code in ((["inspect", name], 2), (["doctor"], 0)):
        done = subprocess.run(
            [sys.executable, "-m", "fleetgrad", *arguments],  # type: ignore[list-item]
            capture_output=True, env=surroundings, check=False,
        )  # fmt: skip
        assert (done.returncode, b"Error" in done.stderr) == (code, False)


def test_polite_kill_is_an_interruption() -> None:
    script = (
        "import os, signal, sys\n"
        "from fleetgrad.cli import app\n"
        "app.fleetgrad.main = lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(app.main(['doctor']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "interrupted" in done.stderr
    assert signal.SIGTERM


def test_doctor_lists_checks_with_hints_for_what_is_missing(fleetgrad: Run) -> None:
    outcome = fleetgrad("doctor", "--json")
    assert outcome.code == 0
    checks = {check["name"]: check for check in outcome.json["checks"]}
    assert {"arm-none-eabi-gcc", "qemu-system-arm", "cc", "python"} <= set(checks)
    for check in checks.values():
        assert {"name", "ok", "version", "hint"} <= set(check)
        assert check["ok"] or check["hint"]


def test_doctor_finds_nothing_on_an_empty_path(
    fleetgrad: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check["name"]: check for check in fleetgrad("doctor", "--json").json["checks"]}
    assert checks["qemu-system-arm"]["ok"] is False
    assert checks["qemu-system-arm"]["hint"] == "apt install qemu-system-arm"


def test_doctor_does_not_count_a_program_that_cannot_run(
    fleetgrad: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "qemu-system-arm"
    broken.write_bytes(b"\x00not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check["name"]: check for check in fleetgrad("doctor", "--json").json["checks"]}
    assert checks["qemu-system-arm"]["ok"] is False
