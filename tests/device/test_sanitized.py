# SPDX-License-Identifier: Apache-2.0
"""The device tests once more, on firmware built with AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleetgrad.boards import Board
from fleetgrad.toolchain import find_compiler


def runtime_of(board: Board) -> str:
    """AddressSanitizer's runtime, which must be loaded before Python is."""
    command = find_compiler(board.compiler.family).command
    name = subprocess.run(
        [*command, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(name).is_absolute():
        pytest.skip("the host's compiler has no shared AddressSanitizer runtime")
    return name


def test_sessions_and_rounds_are_clean_under_the_sanitizers(native_board: Board) -> None:
    if os.environ.get("FLEETGRAD_TEST_SANITIZED"):
        pytest.skip("this is the run with the sanitizers")
    folder = Path(__file__).parent
    environment = {
        **os.environ,
        "FLEETGRAD_TEST_SANITIZED": "1",
        "LD_PRELOAD": runtime_of(native_board),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own, not the firmware's: it allocates nothing
        "PYTHONMALLOC": "malloc",  # so that reads beyond Python's buffers are seen
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            str(folder / "test_data_image.py"),
            str(folder / "test_session.py"),
            str(folder / "test_rounds.py"),
            str(folder / "test_rounds_interrupted.py"),
            str(folder / "test_node_resets.py"),
        ],
        env=environment,
        cwd=folder.parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "passed" in done.stdout
