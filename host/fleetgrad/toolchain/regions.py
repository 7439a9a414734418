# SPDX-License-Identifier: Apache-2.0
"""Which memory of a board each large piece of a firmware lies in.

The pieces are the arrays that an app hands to the model. Those that are read most often per byte
come first, each into the fastest memory that still has room for it. Generated code is the same
wherever they lie, so a bundle, and its digest, do not depend on the board's memories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetgrad.boards import Board, MemoryRegion
from fleetgrad.errors import BoardError

PIECES = ("shadow", "persistent", "arena", "params", "base")
"""Arrays of the apps by name, those read most often first: weights at every product, the arena by
every operator, masters by the update alone, the round's start once in a round."""

MAIN = "RAM"
_ALIGN = 8


@dataclass(frozen=True)
class Assignment:
    """Where the pieces lie.

    Attributes:
        regions: The board's further memories that any of them lies in.
        places: The memory's name, by piece.
    """

    regions: tuple[MemoryRegion, ...]
    places: Mapping[str, str]

    @property
    def memory_script(self) -> str:
        """Linker script: the memories."""
        lines = [
            f"    {one.name} (rw) : ORIGIN = {one.address:#x}, LENGTH = {one.bytes:#x}"
            for one in self.regions
        ]
        return "\n".join(["MEMORY", "{", *lines, "}", ""]) if lines else ""

    @property
    def sections_script(self) -> str:
        """Linker script, inside of SECTIONS: what lies there, and a table of what to clear."""
        lines = []
        for one in self.regions:
            names = [piece for piece, place in self.places.items() if place == one.name]
            inputs = " ".join(f"*main.o(.bss.{name})" for name in names)
            lines.append(f".fg_{one.name} (NOLOAD) : ALIGN({_ALIGN}) {{ {inputs} }} > {one.name}")
        entries = " ".join(
            f"LONG(ADDR(.fg_{one.name})) LONG(SIZEOF(.fg_{one.name}))" for one in self.regions
        )
        table = f"fg_regions_start = .; {entries} fg_regions_end = .;"
        return "\n".join([*lines, f".fg_regions : ALIGN(4) {{ {table} }} > FLASH", ""])


def assign(board: Board, sizes: Mapping[str, int], taken: int) -> Assignment:
    """Finds a memory for each piece.

    Args:
        board: With its memories.
        sizes: Bytes by piece.
        taken: Bytes of the main memory that everything else needs, the stack included.

    Raises:
        BoardError: No memory has room for a piece.
    """
    main = MemoryRegion(MAIN, 0, board.ram_bytes, 0)
    memories = sorted((main, *board.regions), key=lambda one: (one.rank, one.name))
    room = {one.name: one.bytes for one in memories} | {MAIN: max(0, board.ram_bytes - taken)}
    places: dict[str, str] = {}
    for piece in _hottest_first(sizes):
        needed = -(-sizes[piece] // _ALIGN) * _ALIGN
        fitting = [one.name for one in memories if room[one.name] >= needed]
        if not fitting:
            left = ", ".join(f"{free} in {name}" for name, free in room.items())
            raise BoardError(
                f"no memory of {board.id} has room for the {piece}: {needed} bytes",
                where=str(board.folder / "board.toml"),
                expected=f"at most what is left: {left}",
                hint="a smaller model or batch, or a board with more memory",
            )
        places[piece] = fitting[0]
        room[fitting[0]] -= needed
    return Assignment(tuple(r for r in memories if r.rank and r.name in places.values()), places)


def _hottest_first(sizes: Mapping[str, int]) -> Sequence[str]:
    return [piece for piece in PIECES if piece in sizes]
