# SPDX-License-Identifier: Apache-2.0
"""Compiles sources in parallel, each at most once for the same content."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fleetgrad.errors import ToolError
from fleetgrad.toolchain.compilers import Compiler
from fleetgrad.toolchain.sources import headers_of

# Raised when what is kept beside an object changes.
_CACHE_VERSION = "2"


@dataclass(frozen=True)
class Unit:
    """One source and how to compile it.

    Attributes:
        source: The C file.
        flags: Everything but input and output.
        folders: Where to look for headers, in order.
    """

    source: Path
    flags: tuple[str, ...]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Object:
    """A compiled source.

    Attributes:
        path: The object file.
        callgraph: Its call graph with stack usage; None where the compiler writes none.
    """

    path: Path
    callgraph: Path | None


def compile_all(compiler: Compiler, units: Sequence[Unit], cache: Path) -> list[Object]:
    """Compiles what the cache does not hold yet.

    Args:
        compiler: The compiler.
        units: What to compile.
        cache: Folder of objects by content; created where missing.

    Returns:
        One object for every unit, in their order.

    Raises:
        ToolError: When a source does not compile or the cache cannot be written.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(lambda unit: _compile(compiler, unit, cache), units))


def _key(compiler: Compiler, unit: Unit) -> str:
    """Everything that the object depends on, and no path: the flags map those away."""
    digest = hashlib.sha256()

    def add(data: bytes) -> None:
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)

    for text in (_CACHE_VERSION, " ".join(compiler.command), compiler.identity, *unit.flags):
        add(text.encode())
    for path in (unit.source, *headers_of(unit.source, unit.folders)):
        add(path.name.encode())
        add(path.read_bytes())
    return digest.hexdigest()


def _compile(compiler: Compiler, unit: Unit, cache: Path) -> Object:
    folder = cache / _key(compiler, unit)[:40]
    name = unit.source.stem
    entry = Object(folder / f"{name}.o", folder / f"{name}.ci" if compiler.has_callgraph else None)
    if entry.path.is_file():
        return entry
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as fresh:
            _run(compiler, unit, Path(fresh) / f"{name}.o")
            try:
                Path(fresh).rename(folder)
            except OSError:
                if not entry.path.is_file():  # else another build was faster: same content
                    raise
            else:
                Path(fresh).mkdir()  # for the clean-up to find
    except OSError as error:
        raise ToolError(
            f"compiled objects cannot be kept: {error.strerror or error}", where=str(cache)
        ) from error
    return entry


def _run(compiler: Compiler, unit: Unit, output: Path) -> None:
    # Halves of split functions are missing in GCC's call graph: it may not split any.
    callgraph = (
        ("-fstack-usage", "-fcallgraph-info=su", "-fno-partial-inlining")
        if compiler.has_callgraph
        else ()
    )
    command = [
        *compiler.command,
        *unit.flags,
        *callgraph,
        *(f"-I{folder}" for folder in unit.folders),
        # Neither the checkout's place nor the bundle's may leave a trace in the object.
        f"-ffile-prefix-map={unit.source.parent}=.",
        *(f"-ffile-prefix-map={folder}=." for folder in unit.folders),
        "-c",
        str(unit.source),
        "-o",
        str(output),
    ]
    run_tool(command, f"{unit.source.name} does not compile", str(unit.source))


def run_tool(command: Sequence[str], what: str, where: str) -> None:
    """Runs a compiler or linker and keeps quiet unless it fails.

    Args:
        command: Program and arguments.
        what: What to say when it fails.
        where: The file at fault.

    Raises:
        ToolError: With the tool's own words.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise ToolError(f"{what}: {error}", where=where) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ToolError(f"{what}\n{said}", where=where)
