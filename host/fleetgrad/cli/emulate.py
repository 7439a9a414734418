# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad emulate`: boots emulated boards with their data, and keeps them until Ctrl-C."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import click
from rich.table import Table

from fleetgrad.config import Config
from fleetgrad.errors import LinkClosed, UsageError
from fleetgrad.run.prepare import gather

from .fleets import prepare_fleet
from .project import configured
from .relay import Relay
from .ui import Ui, verb


@click.command()
@click.option("--board", "board_id", help="The board; by default the configured one.")
@click.option("-n", "--devices", type=click.IntRange(1), help="How many; by default one per user.")
@verb
@configured
def command(ui: Ui, config: Config, board_id: str | None, devices: int | None) -> None:
    """Boots emulated boards, prints their link URLs, and stops them on Ctrl-C."""
    board_id = board_id or config.fleet.board
    config = replace(config, fleet=replace(config.fleet, kind="qemu", board=board_id))
    made, board, fleet = prepare_fleet(config, config.run.dir / "build")
    placements = gather(config, made.folder).placements(starts=1)
    wanted = len(placements) if devices is None else devices
    if wanted > len(placements):
        raise UsageError(
            f"{wanted} boards, and data for {len(placements)}",
            str(config.data.path),
            f"at most {len(placements)}: one user, one board",
        )
    directory = config.run.dir / "emulated"
    directory.mkdir(parents=True, exist_ok=True)
    ui.note(f"booting {wanted} boards: {board.name}")
    try:
        endpoints = fleet.start(placements[:wanted], directory)
        relay = Relay(endpoints)
        names = {placement.device: placement.name for placement in placements}
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("device", "user", "link", "process"):
            table.add_column(heading)
        for endpoint in endpoints:
            url, name = relay.url(endpoint.device), names[endpoint.device]
            table.add_row(f"{endpoint.device:016x}", name, url, str(endpoint.pid))
        found = [
            {
                "id": f"{endpoint.device:016x}",
                "user": names[endpoint.device],
                "url": relay.url(endpoint.device),
                "pid": endpoint.pid,
            }
            for endpoint in endpoints
        ]
        document = {"devices": found, "model_digest": made.generated.digest.hex()}
        ui.result(document, table)
        ui.note("Ctrl-C stops them")
        try:
            with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not an accident
                relay.serve()
        except LinkClosed as error:
            ui.refuse(error)
        finally:
            relay.close()
    finally:
        fleet.stop()
