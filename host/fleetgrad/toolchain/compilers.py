# SPDX-License-Identifier: Apache-2.0
"""Finds the C compilers of this machine."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass

from fleetgrad.errors import ToolError

# Asking a compiler for its version takes milliseconds; one that hangs is not worth waiting for.
_PROBE_TIMEOUT_S = 20.0

HOST_HINT = "apt install gcc libc6-dev, or pip install ziglang; CC names another compiler"


HOST = "host"


@dataclass(frozen=True)
class CrossFamily:
    """GCC for one kind of core.

    Attributes:
        cores: For people.
        library: A file that comes with its C library.
        packages: Debian's, compiler and C library.
    """

    cores: str
    library: str
    packages: tuple[str, ...]

    @property
    def hint(self) -> str:
        """How to get it."""
        return f"apt install {' '.join(self.packages)}"


CORTEX_M = "arm-none-eabi"
CROSS_FAMILIES = {
    CORTEX_M: CrossFamily(
        "Cortex-M", "nano.specs", ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi")
    ),
    "riscv64-unknown-elf": CrossFamily(
        "RISC-V", "picolibc.specs", ("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf")
    ),
    "xtensa-lx106-elf": CrossFamily(
        "Xtensa", "libc.a", ("gcc-xtensa-lx106", "picolibc-xtensa-lx106-elf")
    ),
}
"""By the prefix of their programs."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler that answers.

    Attributes:
        command: How to call it.
        family: A key of ``CROSS_FAMILIES``, or ``host``.
        identity: What it says of its version: part of the key of every cached object.
        kind: ``gcc``, ``clang`` or ``zig``.
    """

    command: tuple[str, ...]
    family: str
    identity: str
    kind: str

    @property
    def has_callgraph(self) -> bool:
        """It can write the call graphs that the stack bound is computed from."""
        return self.kind == "gcc"


def find_compiler(family: str) -> Compiler:
    """The compiler for a board's family.

    Args:
        family: A key of ``CROSS_FAMILIES``, or ``host``.

    Raises:
        ToolError: When there is none, or the one found does not run.
    """
    return find_host() if family == HOST else find_cross(family)


def find_cross(family: str) -> Compiler:
    """GCC for a family of boards.

    Args:
        family: A key of ``CROSS_FAMILIES``.

    Raises:
        ToolError: When it is missing, does not run, or lacks its C library.
    """
    known = CROSS_FAMILIES[family]
    program = shutil.which(f"{family}-gcc")
    if program is None:
        raise ToolError(
            f"no C compiler for {known.cores} boards",
            expected=f"{family}-gcc in PATH",
            hint=known.hint,
        )
    compiler = _probe((program,), family, known.hint)
    library = _output((program, f"-print-file-name={known.library}"), known.hint).strip()
    if library == known.library:  # printed as it is when it is nowhere
        raise ToolError(
            f"the compiler for {known.cores} boards has no C library",
            where=program,
            expected=f"one with {known.library}",
            hint=known.hint,
        )
    return compiler


def find_host() -> Compiler:
    """The compiler for this machine: ``CC``, else cc, gcc, clang, else the Python package ziglang.

    Raises:
        ToolError: When there is none, or the one found does not run.
    """
    named = os.environ.get("CC", "").split()
    if named:
        program = shutil.which(named[0])
        if program is None:
            raise ToolError(
                f"CC names {named[0]!r}, which is not in PATH", where="CC", hint=HOST_HINT
            )
        return _probe((program, *named[1:]), HOST, HOST_HINT)
    for name in ("cc", "gcc", "clang"):
        program = shutil.which(name)
        if program is not None:
            return _probe((program,), HOST, HOST_HINT)
    if importlib.util.find_spec("ziglang") is not None:
        return _probe((sys.executable, "-m", "ziglang", "cc"), HOST, HOST_HINT)
    raise ToolError(
        "no C compiler for this machine",
        expected="cc, gcc, clang or the Python package ziglang",
        hint=HOST_HINT,
    )


def _probe(command: tuple[str, ...], family: str, hint: str) -> Compiler:
    version = _output((*command, "--version"), hint)
    if "ziglang" in command:
        kind = "zig"
    elif "clang" in version:
        kind = "clang"
    else:
        kind = "gcc"
    return Compiler(command, family, version.strip(), kind)


def _output(command: tuple[str, ...], hint: str) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(
            f"the compiler does not run: {error}", where=command[0], hint=hint
        ) from error
    if done.returncode != 0:
        raise ToolError(
            f"the compiler fails: {done.stderr.strip() or f'exit code {done.returncode}'}",
            where=" ".join(command),
            hint=hint,
        )
    return done.stdout


def native_flags(compiler: Compiler) -> tuple[str, ...]:
    """Flags for code that may use every instruction of this very machine.

    The last one says in the flags what machine that is: objects are kept by their flags, perhaps in
    a folder that several machines share.
    """
    native = "-march=native"
    macros = _output((*compiler.command, native, "-dM", "-E", "-x", "c", os.devnull), HOST_HINT)
    return native, f"-DFG_MACHINE=0x{zlib.crc32(macros.encode()):08x}U"
