# SPDX-License-Identifier: Apache-2.0
"""What firmware/src may not do: floats, heap, stdio, recursion by name, other ports' headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"

# The C library that the runtime may count on; everything else it brings itself.
SYSTEM_HEADERS = {
    "arm_acle.h", "arm_mve.h", "assert.h", "limits.h", "stdalign.h", "stdbool.h", "stddef.h",
    "stdint.h", "string.h",
}  # fmt: skip
LIBRARY_CALLS = {"memcpy", "memset", "memmove"}
FORBIDDEN_CALLS = {
    "malloc", "calloc", "realloc", "free", "alloca", "printf", "fprintf", "sprintf", "snprintf",
    "puts", "putchar", "abort", "exit", "rand", "srand", "time", "clock", "strlen", "strcpy",
    "strcmp", "memcmp", "memchr", "qsort", "setjmp", "longjmp",
}  # fmt: skip


def runtime_sources() -> list[Path]:
    return sorted([*(FIRMWARE / "src").rglob("*.[ch]"), *(FIRMWARE / "include").rglob("*.h")])


def all_sources() -> list[Path]:
    return sorted(FIRMWARE.rglob("*.[ch]"))


def code_of(path: Path) -> str:
    """The text without comments and string literals, line numbers kept."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
    text = path.read_text()
    includes = {
        i for i, line in enumerate(text.splitlines()) if line.lstrip().startswith("#include")
    }
    blanked = re.sub(pattern, blank, text, flags=re.DOTALL).splitlines()
    lines = text.splitlines()
    return "\n".join(lines[i] if i in includes else line for i, line in enumerate(blanked))


def matches(pattern: str, paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(code_of(path).splitlines(), 1)
        if re.search(pattern, line)
    ]


def included(path: Path) -> list[tuple[str, str]]:
    """(opening character, header) of each include."""
    return re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', path.read_text(), flags=re.MULTILINE)


def test_runtime_has_no_floats() -> None:
    assert not matches(r"\b(float|double)\b|\b\d+\.\d*f?\b|\b\d+\.\d*[eE]", runtime_sources())


def test_runtime_has_no_heap_no_stdio_and_little_libc() -> None:
    assert not matches(rf"\b({'|'.join(sorted(FORBIDDEN_CALLS))})\s*\(", runtime_sources())


@pytest.mark.parametrize(
    "path", runtime_sources(), ids=lambda path: str(path.relative_to(FIRMWARE))
)
def test_runtime_includes_only_its_own_headers_and_freestanding_ones(path: Path) -> None:
    neighbours = {other.name for other in runtime_sources()}
    for bracket, header in included(path):
        if bracket == "<":
            assert header in SYSTEM_HEADERS, f"{path.name} includes <{header}>"
        else:
            assert header.rsplit("/", 1)[-1] in neighbours, f"{path.name} includes {header}"


def test_runtime_keeps_no_mutable_state_of_its_own() -> None:
    file_scope = r"^static (?!const\b|inline\b|_Noreturn\b|FG_)[^(]*(=|;)"
    assert not matches(file_scope, runtime_sources())


def test_ports_stay_behind_the_port_header() -> None:
    ports = {path.name for path in (FIRMWARE / "port").rglob("*.h")}
    for path in runtime_sources():
        assert not {header.rsplit("/", 1)[-1] for _, header in included(path)} & ports


def test_every_source_names_its_licence() -> None:
    for path in all_sources():
        assert "SPDX-License-Identifier: Apache-2.0" in path.read_text().splitlines()[0], path


def test_no_function_calls_itself() -> None:
    definition = re.compile(
        r"^(?:[\w\s*]+?)\b(\w+)\([^;{]*\)\s*\{(.*?)^\}", re.DOTALL | re.MULTILINE
    )
    for path in runtime_sources():
        for name, body in definition.findall(code_of(path)):
            if name not in {"if", "for", "while", "switch"}:
                assert not re.search(rf"\b{name}\s*\(", body), f"{path.name}: {name} recurses"
