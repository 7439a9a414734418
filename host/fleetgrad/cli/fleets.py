# SPDX-License-Identifier: Apache-2.0
"""From the name of a kind of fleet to devices that run the configured model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.config import Config, FleetConfig
from fleetgrad.errors import ConfigError
from fleetgrad.fleet import (
    Fleet,
    MqttFleet,
    NativeFleet,
    QemuFleet,
    SerialFleet,
    VirtualFleet,
)
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.link.embedded import HOST, embedded_port
from fleetgrad.store import refuse_if_in_use
from fleetgrad.toolchain import Image

from .bundles import make_bundle
from .firmware import Build, build_firmware


@dataclass(frozen=True)
class Kind:
    """One kind of fleet.

    Attributes:
        board: Id of the board its firmware is built for; empty for the configured one.
        app: Which firmware its devices run.
        make: The fleet of an image.
        words: What its devices are, for people.
    """

    board: str
    app: str
    make: Callable[[Board, Image], Fleet]
    words: str


KINDS: Final = {
    "qemu": Kind(
        "", "node", lambda board, image: QemuFleet(board, image.path), "boards emulated by QEMU"
    ),
    "native": Kind("native", "node", lambda _, image: NativeFleet(image.path), "native processes"),
    "virtual": Kind(
        "native", "library", lambda _, image: VirtualFleet(image.path), "devices in this process"
    ),
}


# Devices that are there already, with firmware and data of their own.
FIELD_KINDS: Final = {"serial": "boards on serial ports", "mqtt": "devices behind a broker"}


def prepare_field(config: Config, out: Path, tell: Callable[[str], None]) -> tuple[Path, Fleet]:
    """The fleet of boards that run already, and the bundle that must be in their firmware.

    Args:
        config: Names the ports.
        out: Where the bundle goes.
        tell: Is told of ports that come and go, from other threads.

    Returns:
        The bundle's folder, and the fleet, not yet looked for.
    """
    refuse_if_in_use(config.run.dir)
    board = load_board(paths.boards(), config.fleet.board)
    folder = out / "bundle"
    make_bundle(config, board).write(folder)
    return folder, _field_fleet(config.fleet, tell)


def _field_fleet(settings: FleetConfig, tell: Callable[[str], None]) -> Fleet:
    if settings.kind == "serial":
        return SerialFleet(settings.ports, settings.baud, settings.devices, tell)
    port = embedded_port(settings.broker)
    url = settings.broker
    if port is not None:
        url = f"mqtt://{HOST}:{port}"
        tell(f"no broker is configured: one of our own is at {url}, for devices of this machine")
    return MqttFleet(
        parse_broker(url),
        Certificates(settings.ca, settings.cert, settings.key),
        settings.name,
        settings.devices,
        tell,
        record=settings.record,
        embedded=port,
    )


def prepare_fleet(config: Config, out: Path) -> tuple[Build, Board, Fleet]:
    """Builds what the configured kind of fleet runs, unless a run is under way in its directory.

    Args:
        config: Names the kind and, for emulators, the board.
        out: Where bundle and image go.

    Returns:
        The build, the board it is for, and the fleet, not yet started.
    """
    if config.fleet.kind not in KINDS:
        raise ConfigError(
            f"there is no fleet {config.fleet.kind!r}", "fleet.kind", f"one of {', '.join(KINDS)}"
        )
    refuse_if_in_use(config.run.dir)
    kind = KINDS[config.fleet.kind]
    board = load_board(paths.boards(), kind.board or config.fleet.board)
    made = build_firmware(config, board, kind.app, out)
    return made, board, kind.make(board, made.image)
