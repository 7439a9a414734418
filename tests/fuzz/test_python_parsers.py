# SPDX-License-Identifier: Apache-2.0
"""Python that meets bytes from elsewhere: whatever they are, a named error or a sound result.

The same seeded mutations each time; `python tools/bench/fuzz.py` looks for others.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetgrad import bundle as bundles
from fleetgrad.device import Arrived
from fleetgrad.errors import BundleError, StoreError
from fleetgrad.store import Store
from fleetgrad.store.store import LEDGER
from support.fuzz_targets import TARGETS, converse, mutations, seeds

COUNTS = {"frames": 10_000, "update": 10_000, "bundle": 10_000, "ledger": 1_500}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_input_never_surprises(name: str) -> None:
    for data in (b"", b"\0", *seeds(name)):
        TARGETS[name](data)
    for data in mutations(name, COUNTS.get(name, 4_000), seed=1):
        try:
            TARGETS[name](data)
        except BaseException:
            print(f"the input: {data!r}")
            raise


def test_the_session_is_led_to_the_end_of_a_round() -> None:
    events = [event for data in seeds("session") for event in converse(data)]
    assert any(isinstance(event, Arrived) for event in events)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"segments": [{', '"segments": [1, {'),
        lambda text: text.replace('"batch": 4', '"batch": Infinity'),
        lambda text: "[" * 100_000 + text,
    ],
    ids=["a number for a segment", "an infinite batch", "too deep"],
)
def test_a_manifest_that_is_no_manifest_is_called_so(damage: Callable[[str], str]) -> None:
    text = damage(seeds("bundle")[0].decode())
    assert text != seeds("bundle")[0].decode()
    with pytest.raises(BundleError, match="not a usable manifest"):
        bundles.parse(text.encode(), b"", b"")


def test_a_ledger_whose_error_is_no_text_is_called_damaged(tmp_path: Path) -> None:
    """SQLite quotes the schema it cannot read, damaged bytes included."""
    (tmp_path / LEDGER).write_bytes(
        seeds("ledger")[0].replace(b"CREATE TABLE bundles", b"CREATE T\xffBLE bundles", 1)
    )
    with pytest.raises(StoreError, match="damaged"), Store(tmp_path, writing=False) as store:
        store.ledger.runs()


def test_a_round_that_is_no_json_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_bytes(seeds("ledger")[0])
    database = sqlite3.connect(tmp_path / LEDGER)
    database.execute("UPDATE rounds SET selected = ?", (json.dumps([1])[:-1],))
    database.commit()
    database.close()
    with Store(tmp_path, writing=False) as store, pytest.raises(StoreError, match="damaged"):
        store.ledger.rounds("r-1")
