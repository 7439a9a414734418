# SPDX-License-Identifier: Apache-2.0
"""Which memory each array gets, and what board.toml may say of memories."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetgrad import paths
from fleetgrad.boards import MemoryRegion, load_board
from fleetgrad.errors import BoardError
from fleetgrad.toolchain.regions import assign

CCM = MemoryRegion("CCM", 0x1000_0000, 1000, -1)
PSRAM = MemoryRegion("PSRAM", 0x6000_0000, 100_000, 1)
SDRAM = MemoryRegion("SDRAM", 0x7000_0000, 1_000_000, 2)


def test_hot_arrays_lie_in_fast_memory_and_large_cold_ones_in_slow_memory() -> None:
    board = replace(
        load_board(paths.boards(), "mps2_an386"), ram_bytes=10_000, regions=(SDRAM, CCM, PSRAM)
    )
    sizes = {"base": 9000, "params": 9000, "arena": 6000, "shadow": 900, "persistent": 64}
    made = assign(board, sizes, taken=3000)
    assert made.places == {
        "shadow": "CCM",
        "persistent": "CCM",
        "arena": "RAM",
        "params": "PSRAM",
        "base": "PSRAM",
    }
    assert [region.name for region in made.regions] == ["CCM", "PSRAM"]
    assert "PSRAM (rw) : ORIGIN = 0x60000000" in made.memory_script
    assert "*main.o(.bss.params) *main.o(.bss.base)" in made.sections_script
    slow = assign(board, sizes | {"arena": 99_000}, taken=3000)
    assert (slow.places["arena"], slow.places["params"]) == ("PSRAM", "SDRAM")
    with pytest.raises(BoardError, match="room for the arena: 2000000 bytes"):
        assign(board, {"arena": 2_000_000}, taken=0)


def test_one_memory_needs_no_decision() -> None:
    board = replace(load_board(paths.boards(), "mps2_an386"), regions=())
    made = assign(board, {"arena": 100}, taken=0)
    assert (made.regions, made.memory_script) == ((), "")
