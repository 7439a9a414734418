# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad replay [RUN]`: computes a run's versions again, from the updates that counted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from fleetgrad.errors import StoreError
from fleetgrad.run.replay import Replay, replay
from fleetgrad.store import Store

from .project import in_a_run_directory
from .ui import Ui, verb


def table_of(found: Replay) -> Table:
    """Rounds, one per line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("round", "updates", "version", "digest", ""):
        table.add_column(
            heading, justify="right" if heading in {"round", "updates", "version"} else "left"
        )
    for row in found.rounds:
        verdict = "equal, file restored" if row.restored else "equal"
        table.add_row(str(row.round), str(row.updates), str(row.version), row.digest[:16], verdict)
    return table


@click.command()
@click.argument("run", required=False)
@click.option("--restore", is_flag=True, help="Write versions' files again that are lost.")
@verb
@in_a_run_directory
def command(ui: Ui, directory: Path, run: str | None, *, restore: bool) -> None:
    """Computes every version of a run again and compares digests; the last run by default."""
    with Store(directory, writing=restore) as store:
        runs = store.ledger.runs()
        if not runs:
            raise StoreError("there is no run yet", str(directory), hint="fleetgrad run")
        found = replay(store, run or runs[-1].run_id, restore=restore)
    told = ", ".join(f"{count} {kind}" for kind, count in found.decisions.items() if count)
    ui.note(f"run {found.run_id}: updates: {told or 'none'}")
    ui.note(f"all {found.lines} lines of the story are intact; chain {found.chain}")
    ui.result(asdict(found), table_of(found))
