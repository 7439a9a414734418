# SPDX-License-Identifier: Apache-2.0
"""Generated C under every compiler that is at hand, with every warning there is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fleetgrad_codegen.bundle import Bundle
from support.native_model import FIRMWARE, STRICT

COMPILERS = {
    "gcc": ("gcc",),
    "clang": ("clang",),
    "arm": ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"),
}


def compile_file(
    command: list[str], source: Path, include: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, f"-I{include}", "-c", str(source), "-o", "/dev/null"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["gcc", "clang", "arm"])
def test_generated_code_compiles_without_a_warning(
    tmp_path: Path, bundle: Bundle, name: str
) -> None:
    command = COMPILERS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    bundle.write(tmp_path / "bundle")
    source = tmp_path / "bundle" / "model.c"
    done = compile_file([*command, *STRICT, "-Wpedantic", "-Os"], source, FIRMWARE / "include")
    assert done.returncode == 0, done.stderr


def test_the_header_is_valid_cpp(tmp_path: Path, bundle: Bundle) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    bundle.write(tmp_path / "bundle")
    source = tmp_path / "bundle" / "main.cpp"
    source.write_text('#include "model.h"\n#include "fleetgrad/fg_kernels.h"\n')
    done = compile_file(["g++", "-Wall", "-Wextra", "-Werror"], source, FIRMWARE / "include")
    assert done.returncode == 0, done.stderr


def test_a_runtime_of_another_version_is_refused_at_compile_time(
    tmp_path: Path, bundle: Bundle
) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed")
    include = tmp_path / "include"
    shutil.copytree(FIRMWARE / "include", include)
    header = include / "fleetgrad" / "fg_model.h"
    text = header.read_text()
    assert "#define FG_MODEL_ABI 1U" in text
    header.write_text(text.replace("#define FG_MODEL_ABI 1U", "#define FG_MODEL_ABI 2U"))
    bundle.write(tmp_path / "bundle")
    done = compile_file([compiler, "-std=c11"], tmp_path / "bundle" / "model.c", include)
    assert done.returncode != 0
    assert "generate again" in done.stderr
