# SPDX-License-Identifier: Apache-2.0
"""The bench of updates through a broker, with a few: every one of them is in the ledger once."""

from __future__ import annotations

import shutil

import pytest

from support.outcome import Run


def test_updates_go_through_a_broker_into_the_ledger(fleetgrad: Run) -> None:
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
        pytest.skip("no mosquitto: apt install mosquitto")
    words = ("--devices", 12, "--rounds", 2, "--at-once", 5)
    outcome = fleetgrad("bench", "mqtt", *words, "--json")
    assert outcome.code == 0, outcome.err
    rows = {row["record"]: row for row in outcome.json["rows"]}
    assert set(rows) == {256, 1056}
    for row in rows.values():
        assert min(row["per_second"], row["whole_per_second"], row["host_us"]) > 0
