# SPDX-License-Identifier: Apache-2.0
"""Which sources a firmware consists of, and which headers each of them reads."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fleetgrad.errors import ToolError

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
_NAME = re.compile(r"\bfg_\w+")
# A definition of something with external linkage: starts in the first column, is not static, and
# is not a mere declaration.
_DEFINITION = re.compile(
    r"^(?!static\b|extern\b|typedef\b|#|return\b)"
    r"[A-Za-z_][\w \t*]*?\b(fg_\w+)\s*(?:\([^;{}]*\)\s*\{|\[|=)",
    re.MULTILINE,
)


def needed_sources(roots: Sequence[Path], library: Iterable[Path]) -> list[Path]:
    """The roots and those files of the library that they, directly or not, take something from.

    Goes by names in the text: a file counts as needed when another needed file mentions something
    it defines. That can only err towards too many files, which the linker then drops. Where several
    files define the same name, for one kind of processor each, all of them count.

    Args:
        roots: Sources that are always part of the firmware.
        library: Sources to choose from.

    Returns:
        Sources in a fixed order: the roots, then the library's by path.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in library}
    owners: dict[str, list[Path]] = {}
    for path, text in texts.items():
        for name in _DEFINITION.findall(text):
            owners.setdefault(name, []).append(path)
    needed: set[Path] = set()
    waiting = [path.read_text(encoding="utf-8") for path in roots]
    while waiting:
        for name in _NAME.findall(waiting.pop()):
            for path in owners.get(name, ()):
                if path not in needed:
                    needed.add(path)
                    waiting.append(texts[path])
    return [*roots, *sorted(needed)]


def headers_of(source: Path, folders: Sequence[Path]) -> list[Path]:
    """All headers of ours that a source reads, directly or not.

    Args:
        source: A C file.
        folders: Where the compiler looks for headers.

    Returns:
        Headers by path.

    Raises:
        ToolError: When a header is nowhere.
    """
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        file = waiting.pop()
        for name in _INCLUDE.findall(file.read_text(encoding="utf-8")):
            header = _resolve(name, (file.parent, *folders))
            if header is None:
                raise ToolError(
                    f"no header is called {name}",
                    where=str(file),
                    expected="one in " + ", ".join(str(folder) for folder in folders),
                )
            if header not in found:
                found.add(header)
                waiting.append(header)
    return sorted(found)


def _resolve(name: str, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).resolve()
    return None
