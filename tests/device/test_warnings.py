# SPDX-License-Identifier: Apache-2.0
"""All C of the firmware compiles without a warning, stricter than any build asks for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fleetgrad import paths
from support.fake_model import FAKE_BUNDLE

FIRMWARE = paths.firmware()
FLAGS = [
    "-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-Wdouble-promotion", "-Wconversion",
    "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef",
    "-DFG_FIRMWARE_HASH=1U", "-fsyntax-only",
]  # fmt: skip

RUNTIME = sorted((FIRMWARE / "src").rglob("*.c"))
CHIP = [
    *sorted((FIRMWARE / "port/mps2_an386").glob("*.c")),
    *sorted((FIRMWARE / "app").rglob("*.c")),
]
HOSTED = [
    *sorted((FIRMWARE / "port/native").glob("*.c")),
    *sorted((FIRMWARE / "port/virtual").glob("*.c")),
    *sorted((FIRMWARE / "app/node").glob("*.c")),
]
ARM = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]


@pytest.mark.parametrize(
    ("compiler", "flags", "sources"),
    [
        ("arm-none-eabi-gcc", ARM, [*RUNTIME, *CHIP]),
        ("gcc", [], [*RUNTIME, *HOSTED]),
        ("clang", [], [*RUNTIME, *HOSTED]),
    ],
    ids=["arm", "gcc", "clang"],
)
def test_no_source_gives_a_warning(compiler: str, flags: list[str], sources: list[Path]) -> None:
    program = shutil.which(compiler)
    if program is None:
        pytest.skip(f"{compiler} is not installed")
    folders = [f"-I{FIRMWARE / 'include'}", f"-I{FIRMWARE / 'port/virtual'}", f"-I{FAKE_BUNDLE}"]
    done = subprocess.run(
        [program, *FLAGS, *flags, *folders, *map(str, sources), str(FAKE_BUNDLE / "model.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
