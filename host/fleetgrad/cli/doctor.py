# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad doctor`: what this machine has, what it lacks, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import Final

import click
from rich.table import Table
from rich.text import Text
from serial.tools import list_ports

from .ui import Ui, verb

PROBE_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: Program, package or port.
        group: Heading it stands under.
        ok: It is there and answers.
        version: Its version where it has one, else a short description.
        hint: How to get it; empty when it is there.
        purpose: What it is for.
    """

    name: str
    group: str
    ok: bool
    version: str
    hint: str
    purpose: str


@dataclass(frozen=True)
class Program:
    """An executable that fleetgrad can use, and Debian's package for it."""

    name: str
    group: str
    package: str
    purpose: str


PROGRAMS: Final = (
    Program(
        "arm-none-eabi-gcc",
        "compilers",
        "gcc-arm-none-eabi libnewlib-arm-none-eabi",
        "firmware for Cortex-M boards",
    ),
    Program(
        "riscv64-unknown-elf-gcc",
        "compilers",
        "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
        "firmware for RISC-V boards",
    ),
    Program(
        "xtensa-lx106-elf-gcc",
        "compilers",
        "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf",
        "firmware for the Xtensa simulator",
    ),
    Program("cc", "compilers", "gcc libc6-dev", "native and virtual fleets"),
    Program("clang", "compilers", "clang", "a second opinion on the C, in the tests"),
    Program("qemu-system-arm", "emulators", "qemu-system-arm", "emulated Cortex-M boards"),
    Program("qemu-system-riscv32", "emulators", "qemu-system-misc", "emulated RISC-V boards"),
    Program("qemu-system-xtensa", "emulators", "qemu-system-misc", "Xtensa simulator"),
    Program("pyocd", "flashing", "pipx; pipx install pyocd", "boards with a debug probe"),
    Program("cppcheck", "development", "cppcheck", "make lint"),
)

# Python packages beyond the pinned ones: (distribution, module, how to get it, purpose).
EXTRAS: Final = (
    (
        "ziglang",
        "ziglang",
        "pip install -r requirements-zig.lock",
        "a C compiler if none is installed",
    ),
    ("ai-edge-litert", "ai_edge_litert", "make setup", "reads .tflite, checks exports"),
    ("tflite-micro", "tflite_micro", "make test", "a second oracle, in the tests"),
    ("tensorflow", "tensorflow", "pip install .[models]", "making models, nothing else"),
)


def check_program(program: Program) -> Check:
    """Looks a program up and asks it for its version."""
    path = shutil.which(program.name)
    version = version_of(path) if path else ""
    ok = path is not None and version is not None
    hint = "" if ok else f"apt install {program.package}"
    return Check(program.name, program.group, ok, version or "", hint, program.purpose)


def version_of(path: str) -> str | None:
    """The first version number that `--version` prints; None where it cannot even be run."""
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.search(r"\d+(\.\d+)+", done.stdout)
    return number.group() if number else ""


def check_extra(distribution: str, module: str, how: str, purpose: str) -> Check:
    """Looks a Python package up without importing it."""
    ok = importlib.util.find_spec(module) is not None
    version = ""
    if ok:
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            version = "unknown version"
    return Check(distribution, "Python packages", ok, version, "" if ok else how, purpose)


def check_ports() -> list[Check]:
    """The serial ports of this machine; one line that says so where there are none."""
    ports = [
        Check(port.device, "serial ports", True, port.description, "", "a board on a cable")
        for port in sorted(list_ports.comports(), key=lambda port: str(port.device))
    ]
    if ports:
        return ports
    return [Check("serial port", "serial ports", False, "", "connect a board", "boards on a cable")]


def examine() -> list[Check]:
    """All checks, grouped."""
    python = Check("python", "Python packages", True, platform.python_version(), "", "running this")
    return [
        *(check_program(program) for program in PROGRAMS),
        python,
        *(check_extra(*extra) for extra in EXTRAS),
        *check_ports(),
    ]


def table_of(checks: list[Check]) -> Table:
    """Found and missing, under their headings."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "name", "version", "for", "to get it"):
        table.add_column(heading, overflow="fold")
    group = ""
    for check in sorted(checks, key=lambda check: [c.group for c in checks].index(check.group)):
        if check.group != group:
            group = check.group
            table.add_row("", Text(group, style="bold"))
        mark = Text("✓", style="green") if check.ok else Text("\N{EN DASH}", style="yellow")
        table.add_row(
            mark, *(Text(t) for t in (check.name, check.version, check.purpose, check.hint))
        )
    return table


@click.command()
@verb
def command(ui: Ui) -> None:
    """Shows compilers, emulators, packages and ports: found, missing, how to get them."""
    checks = examine()
    ui.result({"checks": [asdict(check) for check in checks]}, table_of(checks))
