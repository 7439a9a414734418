# SPDX-License-Identifier: Apache-2.0
"""Training kernels stay inside their memory and inside the language, whatever the numbers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support import train_native as native

HERE = Path(__file__).parent
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def _run(compiler: str, folder: Path, *flags: str) -> str:
    program = folder / f"soak-{compiler}"
    sources = [str(HERE / "soak_training.c"), *map(str, native.SOURCES)]
    command = [compiler, *native.FLAGS, "-g", *flags, *sources, "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_random_heads_are_clean_and_agree_with_an_optimised_build(
    compiler: str, tmp_path: Path
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    assert _run(compiler, tmp_path, "-O1", *SANITIZED) == _run(compiler, tmp_path, "-O3")
