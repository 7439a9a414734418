# SPDX-License-Identifier: Apache-2.0
"""Lines of C: indentation, integer literals, wrapped arrays. Nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

COLUMNS = 100
INDENT = "    "
_INT32_MIN = -(2**31)


def literal(value: int) -> str:
    """A C literal of the value; ``INT32_MIN`` has none, and is written as its name."""
    return "INT32_MIN" if value == _INT32_MIN else str(value)


class Writer:
    """Collects lines at the current indentation."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    @property
    def text(self) -> str:
        """Everything written, ending in a newline unless empty."""
        return "".join(f"{line}\n" for line in self._lines)

    def line(self, text: str) -> None:
        """One line, or several separated by newlines; what is too long goes on below."""
        for part in text.split("\n"):
            self._lines.extend(_wrapped(f"{INDENT * self._depth}{part}") if part else [""])

    def blank(self) -> None:
        """An empty line, unless the last one is."""
        if self._lines and self._lines[-1]:
            self._lines.append("")

    @contextmanager
    def block(self, head: str, end: str = "}") -> Iterator[None]:
        """``head {``, what is written inside indented by one level, ``end``."""
        self.line(f"{head} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line(end)

    def array(self, declaration: str, name: str, values: Sequence[int]) -> None:
        """A definition of an array of at least one integer, wrapped at the line length."""
        with self.block(f"{declaration} {name}[{len(values)}] =", end="};"):
            indent = INDENT * self._depth
            row = indent
            for value in values:
                item = f"{literal(value)}, "
                if len(row) + len(item) - 1 > COLUMNS and row != indent:
                    self._lines.append(row.rstrip())
                    row = indent
                row += item
            self._lines.append(row.rstrip())
        self.blank()


def _wrapped(line: str) -> Iterator[str]:
    """Breaks a line of code after commas, at the outermost nesting; comments stay whole."""
    hanging = " " * (len(line) - len(line.lstrip())) + 2 * INDENT
    while len(line) > COLUMNS and not line.lstrip().startswith(("/*", "#")):
        cut = _break(line, len(hanging))
        if cut < 0:
            break
        yield line[: cut + 1]
        line = hanging + line[cut + 2 :]
    yield line


def _break(line: str, start: int) -> int:
    """The last comma within the line length that as few brackets as possible enclose, or -1."""
    best, least, depth = -1, len(line), 0
    for index, character in enumerate(line[:COLUMNS]):
        depth += (character in "({") - (character in ")}")
        ends_item = character == "," and line[index + 1 : index + 2] == " "
        if ends_item and index > start and depth <= least:
            best, least = index, depth
    return best
