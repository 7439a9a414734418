# SPDX-License-Identifier: Apache-2.0
"""Generated C under every compiler that is at hand, with every warning there is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, generate
from support.models import pack, small_cnn, unpack
from support.native_model import FIRMWARE, STRICT, compile_models, compile_runtime

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


STRANGE_NAMES = ["a/*b", "*/ int x; /*", "tail*", "back\\", "bidi\u202e", "two\nlines", "*??/\n/"]


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=ascii)
def test_no_name_of_a_tensor_disturbs_the_code(tmp_path: Path, name: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed")
    model = unpack(small_cnn(np.random.default_rng(7)))
    model.subgraphs[0].tensors[3].name = name
    generate(pack(model), "strange").write(tmp_path / "bundle")
    source = tmp_path / "bundle" / "model.c"
    done = compile_file([compiler, *STRICT, "-Wpedantic"], source, FIRMWARE / "include")
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
    assert "#define FG_MODEL_ABI 3U" in text
    header.write_text(text.replace("#define FG_MODEL_ABI 3U", "#define FG_MODEL_ABI 4U"))
    bundle.write(tmp_path / "bundle")
    done = compile_file([compiler, "-std=c11"], tmp_path / "bundle" / "model.c", include)
    assert done.returncode != 0
    assert "generate again" in done.stderr


# What a compiler may call by itself: its own arithmetic, and the three functions of string.h.
OUTSIDE = ("memcpy", "memset", "memmove", "__aeabi_")
# Of all; a firmware links those that its model calls.
KERNEL_TEXT_LIMITS = {"cortex-m3": 6912, "cortex-m4": 14336}


@pytest.fixture(scope="module")
def arm_runtime(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Objects of the runtime for a Cortex-M4, for size."""
    command, *flags = COMPILERS["arm"]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    return compile_runtime(tmp_path_factory.mktemp("arm"), command, [*flags, "-Os"])


def symbols(objects: list[Path]) -> list[tuple[str, str]]:
    """(type, name) of every symbol, as ``nm`` prints them."""
    done = subprocess.run(
        ["arm-none-eabi-nm", *map(str, objects)], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in done.stdout.splitlines() if not line.endswith(":"))
    return [(row[-2], row[-1]) for row in rows if row]


def test_nothing_is_mutable_and_nothing_unknown_is_called(
    tmp_path: Path, bundle: Bundle, arm_runtime: list[Path]
) -> None:
    command, *flags = COMPILERS["arm"]
    found = symbols([*arm_runtime, *compile_models([bundle], tmp_path, command, flags)])
    assert [name for kind, name in found if kind in "bBdDcC"] == []
    defined = {name for kind, name in found if kind != "U"}
    called = {name for kind, name in found if kind == "U"} - defined
    assert {name for name in called if not name.startswith(OUTSIDE)} == set()


@pytest.mark.parametrize("core", KERNEL_TEXT_LIMITS)
def test_all_forward_kernels_together_stay_small(tmp_path: Path, core: str) -> None:
    command = COMPILERS["arm"][0]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    kernels = {path.stem for path in (FIRMWARE / "src" / "kernels").rglob("*.c")}
    objects = compile_runtime(tmp_path, command, [f"-mcpu={core}", "-mthumb", "-Os"])
    done = subprocess.run(
        ["arm-none-eabi-size", *(str(path) for path in objects if path.stem in kernels)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    total = sum(int(line.split()[0]) for line in done.stdout.splitlines()[1:])
    assert 0 < total <= KERNEL_TEXT_LIMITS[core]


@pytest.mark.parametrize("name", COMPILERS)
def test_the_runtime_compiles_without_a_warning(tmp_path: Path, name: str) -> None:
    command, *flags = COMPILERS[name]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    compile_runtime(tmp_path, command, [*flags, "-Wpedantic", "-Os"])
