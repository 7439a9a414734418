# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fleetgrad.cli.choice import choose_fleet
from fleetgrad.config import load
from support.outcome import Run


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["native", "virtual", pytest.param("qemu", marks=pytest.mark.emulated)]
)
def test_demo_learns_proves_and_reports(
    fleetgrad: Run, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "qemu":
        request.getfixturevalue("emulator")
    outcome = fleetgrad("demo", "--fleet", kind, "-o", tmp_path)
    assert outcome.code == 0
    assert outcome.err.splitlines()[0].startswith("fleet: 8 ")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["fleet"] == kind
    assert result["accuracy_after"] - result["accuracy_before"] > 0.25
    assert result["verified_samples"] == 350
    assert result["accuracy_after"] >= result["reference"]["accuracy"][-1] - 0.01
    assert (result["instructions_per_step"] is not None) == (kind == "qemu")
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "learned.tflite").stat().st_size > 1000


def test_demo_falls_back_to_native_processes_and_says_why(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = load(checkout / "examples" / "digits" / "fleetgrad.toml")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler for this machine")
    (tmp_path / "cc").symlink_to(compiler)
    monkeypatch.setenv("PATH", str(tmp_path))
    choice = choose_fleet(config, None)
    assert choice.kind == "native"
    assert "no qemu-system-arm" in choice.why
    assert "apt install qemu-system-arm" in choice.why


@pytest.mark.emulated
def test_emulate_prints_links_and_stops_when_asked(tmp_path: Path, emulator: None) -> None:
    import signal
    import socket

    checkout = Path(__file__).resolve().parents[2]
    plan = str(checkout / "examples" / "digits" / "fleetgrad.toml")
    command = [sys.executable, "-m", "fleetgrad", "emulate", "-n", "2", "--json", "--config", plan]
    command += ["--set", f"run.dir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = b""
        while not text.endswith(b"\n}\n"):
            text += process.stdout.readline()
        devices = json.loads(text)["devices"]
        assert len(devices) == 2
        for device in devices:
            host, port = device["url"].removeprefix("tcp://").split(":")
            with socket.create_connection((host, int(port)), timeout=10) as link:
                link.settimeout(10)
                assert link.recv(1) == b"\0"  # what every board sends first
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert process.returncode == 0
