# SPDX-License-Identifier: Apache-2.0
"""Large fleets: enough open files for their links, and a turn for every device."""

from __future__ import annotations

import ctypes
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fleetgrad.errors import FleetError
from fleetgrad.fleet import NativeFleet, Placement, VirtualFleet
from fleetgrad.fleet.descriptors import allow_links
from fleetgrad.fleet.virtual import _Device
from fleetgrad.link import socket_pair

OPEN_FILES = resource.RLIMIT_NOFILE


@pytest.fixture
def few_files() -> Iterator[int]:
    """A soft limit that a hundred links do not fit under; gives the hard one."""
    soft, hard = resource.getrlimit(OPEN_FILES)
    resource.setrlimit(OPEN_FILES, (160, hard))
    yield hard
    resource.setrlimit(OPEN_FILES, (soft, hard))


def placements(count: int) -> list[Placement]:
    return [Placement(device, str(device), bytes(64)) for device in range(1, count + 1)]


def test_virtual_fleet_gets_the_open_files_it_needs(
    library: Path, tmp_path: Path, few_files: int
) -> None:
    fleet = VirtualFleet(library)
    try:
        assert len(fleet.start(placements(100), tmp_path)) == 100
    finally:
        fleet.stop()


def test_fleet_beyond_the_systems_limit_is_refused_by_name(tmp_path: Path, few_files: int) -> None:
    if few_files == resource.RLIM_INFINITY:
        pytest.skip("this system has no limit")
    with pytest.raises(FleetError, match=rf"open files(?s:.)*at most the {few_files}"):
        allow_links(few_files)
    with pytest.raises(FleetError, match="open files"):
        NativeFleet(tmp_path / "none").start(placements(few_files), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_slow_device_lets_the_others_have_their_turn() -> None:
    """Every piece takes a millisecond, and there is always more to do."""
    turns: list[int] = []

    def run(*arguments: Any) -> int:
        _, _, pieces, _, _, more = arguments
        turns.append(pieces.value)
        time.sleep(pieces.value / 1000)
        more._obj.value = 1
        return 0

    raw = SimpleNamespace(
        fg_virtual_init=lambda *_: 0, fg_virtual_run=run, fg_virtual_wait_ms=lambda *_: 0
    )
    library: Any = SimpleNamespace(raw=raw, memory=ctypes.c_uint64 * 1)
    near, far = socket_pair("slow")
    device = _Device(library, placements(1)[0], far)
    for _ in range(20):
        device.work(time.monotonic())
    near.close()
    far.close()
    assert max(turns[-10:]) <= 8
