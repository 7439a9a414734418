# SPDX-License-Identifier: Apache-2.0
"""Where the parts of fleetgrad that are not Python lie, and where builds keep their objects."""

import os
from pathlib import Path

from fleetgrad.errors import ToolError

HOME_VARIABLE = "FLEETGRAD_HOME"
CACHE_VARIABLE = "FLEETGRAD_CACHE"


def home() -> Path:
    """The checkout: the folder with ``firmware/`` and ``boards/``.

    ``FLEETGRAD_HOME`` names another one than the one this package was installed from.

    Raises:
        ToolError: When there is no firmware at that place.
    """
    override = os.environ.get(HOME_VARIABLE)
    folder = Path(override) if override else Path(__file__).resolve().parents[2]
    if not (folder / "firmware" / "include" / "fleetgrad").is_dir():
        raise ToolError(
            "the firmware's sources are not here",
            where=str(folder),
            expected="a checkout of fleetgrad with the folders firmware and boards",
            hint=f"install with pip install -e, or set {HOME_VARIABLE} to the checkout",
        )
    return folder


def firmware() -> Path:
    """Sources of the firmware.

    Raises:
        ToolError: As :func:`home`.
    """
    return home() / "firmware"


def boards() -> Path:
    """One folder per board.

    Raises:
        ToolError: As :func:`home`.
    """
    return home() / "boards"


def cache() -> Path:
    """Compiled objects, kept by content; ``FLEETGRAD_CACHE`` moves it. Safe to delete.

    Raises:
        ToolError: As :func:`home`.
    """
    override = os.environ.get(CACHE_VARIABLE)
    return Path(override) if override else home() / "build" / "cache"
