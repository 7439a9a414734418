# SPDX-License-Identifier: Apache-2.0
"""The most stack a firmware can ever need, from the compiler's own call graphs.

GCC writes for every object which function calls which and how much stack each one takes. The
firmware has no recursion, and its only calls through pointers go through the model's descriptor, a
flash or the vector table: the deepest path through that graph is a bound, not an estimate.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetgrad.errors import ToolError

INDIRECT = "__indirect_call"

# Who calls through the pointers of an fg_flash, and what the ports call the functions behind them.
FLASH = {
    "fg_flash_read": "flash_read",
    "fg_flash_program": "flash_program",
    "fg_flash_erase": "flash_erase",
    "fg_flash_sync": "flash_sync",
}

# Functions of the C and compiler libraries, which come without call graphs: the most that any
# core's version takes, its own calls included. Read from the disassembly of newlib's and picolibc's
# small versions and of GCC 12's libgcc.
LIBRARY_FRAMES = {
    "memcpy": 32,
    "memmove": 32,
    "memset": 32,
    "__aeabi_memcpy": 32,
    "__aeabi_memset": 32,
    "__aeabi_uidiv": 16,
    "__aeabi_uidivmod": 16,
    "__aeabi_idiv": 16,
    "__aeabi_idivmod": 16,
    "__aeabi_uldivmod": 128,
    "__aeabi_ldivmod": 128,
    "__aeabi_lmul": 32,
    "__aeabi_lasr": 8,
    "__aeabi_llsl": 8,
    "__aeabi_llsr": 8,
    "__clzsi2": 8,
    "__clzdi2": 16,
    "__ashldi3": 0,
    "__ashrdi3": 0,
    "__lshrdi3": 0,
    "__divdi3": 0,
    "__udivdi3": 0,
}

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_USAGE = re.compile(r"\\n(\d+) bytes \(([^)]*)\)")


@dataclass(frozen=True)
class Function:
    """One function: bytes of its own frame, and whom it calls."""

    frame: int
    calls: tuple[str, ...]


@dataclass(frozen=True)
class StackBound:
    """The result.

    Attributes:
        bytes: The bound.
        path: The deepest chain of calls of the main program, outermost first.
    """

    bytes: int
    path: tuple[str, ...]


def read_callgraphs(files: Iterable[Path]) -> dict[str, Function]:
    """All functions of a firmware.

    Args:
        files: One ``.ci`` file for every object.

    Returns:
        Functions by name. A static one's name begins with its source's, unless it is unique.

    Raises:
        ToolError: When a function's frame has no fixed size.
    """
    frames: dict[str, int] = {}
    calls: dict[str, list[str]] = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        for title, label in _NODE.findall(text):
            usage = _USAGE.search(label)
            if usage is None:
                continue  # only called here, defined elsewhere
            if "dynamic" in usage.group(2) and "bounded" not in usage.group(2):
                raise ToolError(
                    f"{title} has a stack frame of no fixed size",
                    where=str(file),
                    expected="no variable-length arrays and no alloca",
                )
            frames[title] = int(usage.group(1))
        for source, target in _EDGE.findall(text):
            calls.setdefault(source, []).append(target)
    return {
        name: Function(frame, tuple(dict.fromkeys(calls.get(name, ()))))
        for name, frame in frames.items()
    }


class CallGraph:
    """Deepest paths through a firmware's calls.

    Args:
        functions: From :func:`read_callgraphs`.
        indirect: Functions that a call through a pointer may reach, but for those of a flash.
    """

    def __init__(self, functions: dict[str, Function], indirect: Sequence[str]) -> None:
        self._functions = functions
        self._short: dict[str, list[str]] = {}
        for name in functions:
            self._short.setdefault(name.rsplit(":", 1)[-1], []).append(name)
        self._indirect = tuple(self._full(name) for name in indirect)
        self._deepest: dict[str, tuple[int, tuple[str, ...]]] = {}

    def deepest(self, name: str) -> StackBound:
        """The deepest path from a function on.

        Raises:
            ToolError: When functions call each other in a circle, or one is unknown.
        """
        depth, path = self._visit(self._full(name), ())
        return StackBound(depth, path)

    def _full(self, name: str) -> str:
        if name in self._functions:
            return name
        known = self._short.get(name, [])
        if len(known) != 1:
            raise ToolError(
                f"the stack of {name} cannot be bounded: "
                + ("several functions are called so" if known else "it has no call graph"),
                hint="give it a frame in LIBRARY_FRAMES if it belongs to a library",
            )
        return known[0]

    def _visit(self, name: str, above: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise ToolError(f"the firmware recurses: {circle}", expected="no recursion")
        if name in self._deepest:
            return self._deepest[name]
        function = self._functions[name]
        best: tuple[int, tuple[str, ...]] = (0, ())
        for target in function.calls:
            targets: tuple[str, ...] = (target,)
            if target == INDIRECT:
                flash = FLASH.get(name)
                targets = tuple(self._short.get(flash, ())) if flash else self._indirect
            for callee in targets:
                found: tuple[int, tuple[str, ...]]
                if callee in LIBRARY_FRAMES and callee not in self._functions:
                    found = (LIBRARY_FRAMES[callee], (callee,))
                else:
                    found = self._visit(self._full(callee), (*above, name))
                best = max(best, found, key=lambda item: item[0])
        result = (function.frame + best[0], (name.rsplit(":", 1)[-1], *best[1]))
        self._deepest[name] = result
        return result


def bound_stack(graph: CallGraph, entry: str, handlers: Sequence[str], frame: int) -> StackBound:
    """The bound of a firmware on a Cortex-M core.

    Interrupts have one priority and do not nest; a fault may come on top of one.

    Args:
        graph: Its calls.
        entry: The reset handler.
        handlers: All other entries of the vector table.
        frame: Bytes that the core pushes for an interrupt.
    """
    main = graph.deepest(entry)
    deepest = max((graph.deepest(name).bytes for name in handlers), default=0)
    fault = max((graph.deepest(name).bytes for name in handlers if "Fault" in name), default=0)
    total = main.bytes + (frame + deepest + frame + fault if handlers else 0)
    return StackBound(total, main.path)
