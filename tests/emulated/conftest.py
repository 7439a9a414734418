# SPDX-License-Identifier: Apache-2.0
"""Emulated boards: all of this skips, saying why, where compiler or emulator is missing."""

from __future__ import annotations

import pytest

from fleetgrad.boards import Board
from support.emulated import EMULATED, usable


@pytest.fixture(scope="session")
def mps2() -> Board:
    """The board that stands for all where one is enough."""
    return usable("mps2_an386")


@pytest.fixture(scope="session", params=EMULATED)
def board(request: pytest.FixtureRequest) -> Board:
    """Every emulated board in turn."""
    return usable(request.param)
