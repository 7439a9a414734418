# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every test."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A job that a shell starts in the background ignores Ctrl-C, and so would every program that a test
# starts and then interrupts. A handler here gives them the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models and data sets; skips where it is absent."""
    folder = Path(os.environ.get("FLEETGRAD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "models").is_dir():
        pytest.skip(f"no models and data sets at {folder} (set FLEETGRAD_DATA)")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--update-golden``."""
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files anew instead of comparing"
    )


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def emulator() -> None:
    """Skips where boards cannot be built and emulated."""
    for program in ("qemu-system-arm", "arm-none-eabi-gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
