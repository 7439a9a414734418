# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad run`: federated rounds over the configured fleet; goes on where it was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from fleetgrad.config import Config
from fleetgrad.fleet import Fleet
from fleetgrad.report import device_table, round_table
from fleetgrad.results import RunResult
from fleetgrad.run import execute

from .bundles import SchemeName, loss_option, with_loss, with_scheme
from .fleets import FIELD_KINDS, KINDS, prepare_field, prepare_fleet
from .project import configured
from .ui import Ui, verb
from .watch import Watcher


@click.command()
@click.option(
    "--fleet",
    "kind",
    type=click.Choice([*KINDS, *FIELD_KINDS]),
    help="Instead of fleet.kind.",
)
@click.option("--broker", metavar="URL", help="Instead of fleet.broker.")
@click.option("--scheme", type=SchemeName(trains=True), help="Instead of scheme.name.")
@loss_option
@verb
@configured
def command(
    ui: Ui,
    config: Config,
    *,
    kind: str | None,
    broker: str | None,
    scheme: str | None,
    loss: str | None,
) -> None:
    """Runs federated rounds; the same command after an interruption goes on with the run."""
    if kind is not None:
        config = replace(config, fleet=replace(config.fleet, kind=kind))
    if broker is not None:
        config = replace(config, fleet=replace(config.fleet, broker=broker))
    if scheme is not None:
        config = with_scheme(config, scheme)
    config = with_loss(config, loss)
    out = config.run.dir / "build"
    folder: Path
    fleet: Fleet
    if config.fleet.kind in FIELD_KINDS:
        folder, fleet = prepare_field(config, out, ui.note)
        ui.note(f"looking for {FIELD_KINDS[config.fleet.kind]}")
    else:
        made, board, fleet = prepare_fleet(config, out)
        folder = made.folder
        ui.note(f"{made.image.path.name} for {board.id}, built in {made.seconds:.1f} s")
    with Watcher(ui) as watcher:

        def deliver(result: RunResult) -> None:
            watcher.close()
            document = result.to_json() | {"resumed": result.resumed, "version": result.version}
            ui.result(document, round_table(result), "", device_table(result))

        execute(config, folder, fleet, watcher, deliver=deliver)
