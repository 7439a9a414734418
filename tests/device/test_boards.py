# SPDX-License-Identifier: Apache-2.0
"""board.toml: what is in the checkout, and what a mistake in one looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, list_boards, load_board
from fleetgrad.errors import BoardError

GOOD = """
id = "toy"
name = "Toy"
core = "cortex-m4"
port = ["bare"]
verified = "compiled"
evidence = "no emulator has it"

[compiler]
family = "arm-none-eabi"
flags = ["-mcpu=cortex-m4"]
link_flags = []

[memory]
flash_bytes = 1024
ram_bytes = 1024
stack_bytes = 256
"""


def make(folder: Path, text: str, name: str = "toy", *, script: bool = True) -> Path:
    (folder / name).mkdir()
    (folder / name / "board.toml").write_text(text)
    if script:
        (folder / name / "link.ld").write_text("")
        (folder / name / "board.h").write_text("")
    return folder


@pytest.mark.parametrize("board", list_boards(paths.boards()), ids=lambda board: board.id)
def test_every_board_of_the_checkout_is_complete(board: Board) -> None:
    assert board.port
    for part in board.port:
        assert list((paths.firmware() / "port" / part).glob("*.c")), part
    table = (paths.boards().parent / "docs" / "boards.md").read_text()
    assert f"| `{board.id}` |" in table, "docs/boards.md does not list it"


def test_an_unknown_board_gets_the_nearest_name() -> None:
    with pytest.raises(BoardError) as caught:
        load_board(paths.boards(), "mps2_an368")
    assert "mps2_an386" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_good_board_is_read(tmp_path: Path) -> None:
    board = load_board(make(tmp_path, GOOD), "toy")
    assert (board.flash_bytes, board.stack_bytes, board.qemu) == (1024, 256, None)


@pytest.mark.parametrize(
    ("find", "replace", "said"),
    [
        ("ram_bytes", "ram_byte", "'ram_byte' a misspelling"),
        ('id = "toy"', 'id = "joy"', "not the folder's name"),
        ("= 256", '= "256"', "wrong type"),
        ("= 256", "= true", "wrong type"),
        ("= 256", "= 4096", "stack of 4096 bytes in 1024"),
        ("= 256", "= 255", "multiple of 16"),
        ("= 256", "= -8", "out of range"),
        ("arm-none-eabi", "riscv", "compiler family"),
        ("[memory]", "[memroy]", "'memroy' a misspelling"),
        ("link_flags = []", "", "link_flags"),
        ('flags = ["-mcpu=cortex-m4"]', "flags = [1]", "list of strings"),
        ("[memory]", "[extra]\n[memory]", "unknown key 'extra'"),
        ("[memory]", "[memory", "not a readable board.toml"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, find: str, replace: str, said: str) -> None:
    assert find in GOOD
    folder = make(tmp_path, GOOD.replace(find, replace, 1))
    with pytest.raises(BoardError) as caught:
        load_board(folder, "toy")
    assert said in str(caught.value)
    assert "board.toml" in caught.value.where


def test_a_chip_needs_a_linker_script(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"link\.ld"):
        load_board(make(tmp_path, GOOD, script=False), "toy")


def test_instruction_costs_are_pairs_of_numbers(tmp_path: Path) -> None:
    text = GOOD + "\n[instructions]\nconv = [1.5, 20]\n"
    board = load_board(make(tmp_path, text), "toy")
    assert board.instructions == {"conv": (1.5, 20.0)}


@pytest.mark.parametrize("value", ["1", "[1]", "[1, 2, 3]", '["a", 1]', "[-1, 0]", "[true, 1]"])
def test_instruction_costs_of_another_kind_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(BoardError) as caught:
        load_board(make(tmp_path, f"{GOOD}\n[instructions]\nconv = {value}\n"), "toy")
    assert "instructions.conv" in caught.value.where
    assert caught.value.expected == "two numbers, 0 or more"


REGION = """
[[memory.region]]
name = "CCM"
address = 0x10000000
bytes = 65536
rank = -1
"""


def test_memories_besides_the_main_one_are_read(tmp_path: Path) -> None:
    board = load_board(make(tmp_path, GOOD + REGION), "toy")
    (region,) = board.regions
    assert (region.name, region.address, region.bytes, region.rank) == ("CCM", 1 << 28, 65536, -1)


@pytest.mark.parametrize(
    "wrong", ['name = "RAM"', 'name = "a b"', "rank = 0", "bytes = 0", 'rank = "fast"']
)
def test_a_mistaken_memory_is_refused(tmp_path: Path, wrong: str) -> None:
    key = wrong.split(maxsplit=1)[0]
    lines = [line for line in REGION.splitlines() if not line.startswith(key)] + [wrong]
    with pytest.raises(BoardError):
        load_board(make(tmp_path, GOOD + "\n".join(lines)), "toy")
