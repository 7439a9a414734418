# SPDX-License-Identifier: Apache-2.0
"""Real processes are killed, a few times: the bench does it more often."""

from __future__ import annotations

import subprocess

import pytest

from support.outcome import Run


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skips where there is no broker, or nothing to build devices with."""
    probe = "#include <mosquitto.h>\n"
    command = ["cc", "-fsyntax-only", "-xc", "-"]
    built = subprocess.run(command, input=probe, text=True, capture_output=True, check=False)
    if built.returncode:
        pytest.skip("no libmosquitto: apt install libmosquitto-dev")


@pytest.mark.parametrize(
    ("words", "least"),
    [
        (["--kind", "broker", "--broker-kills", 2], 2),
        (["--kind", "board", "--board-kills", 6], 6),
        (["--kind", "host", "--every", 20], 3),
    ],
)
def test_kills_lose_nothing_and_double_nothing(
    fleetgrad: Run, words: list[object], least: int
) -> None:
    outcome = fleetgrad("bench", "kills", *words, "--json")
    assert outcome.code == 0, outcome.err
    (campaign,) = outcome.json["campaigns"]
    assert campaign["kills"] >= least
    assert (campaign["lost"], campaign["double"], campaign["other"]) == (0, 0, 0)
    assert campaign["runs"] >= 1
