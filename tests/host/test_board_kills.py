# SPDX-License-Identifier: Apache-2.0
"""A small campaign of the bench: boards that are killed at every stage of a round."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetgrad.cli.bench.board_kills import kill_boards
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler

KILLS = 24


def test_killed_boards_lose_and_double_nothing(tmp_path: Path) -> None:
    try:
        find_compiler("host")
    except ToolError as error:
        pytest.skip(error.what)
    told: list[int] = []
    found = kill_boards(tmp_path, KILLS, seed=7, advance=told.append, rounds=3)
    assert (found.lost, found.double, found.other) == (0, 0, 0)
    assert found.kills == told[-1] >= KILLS
    assert sum(found.by_moment.values()) == found.kills
    assert min(found.by_moment.values()) >= 1, "every stage has had its kill"
