# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad boards`: the boards there are, and how each was verified."""

from __future__ import annotations

import click
from rich.table import Table

from fleetgrad import paths
from fleetgrad.boards import list_boards
from fleetgrad.report.units import kilobytes

from .ui import Ui, verb


@click.command()
@verb
def command(ui: Ui) -> None:
    """Lists the known boards, and how each was verified."""
    boards = list_boards(paths.boards())
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("id", "core", "flash", "RAM", "verified", "on"):
        table.add_column(heading, justify="right" if heading in {"flash", "RAM"} else "left")
    for board in boards:
        flash = "" if board.hosted else kilobytes(board.flash_bytes)
        ram = "" if board.hosted else kilobytes(board.ram_bytes)
        table.add_row(board.id, board.core, flash, ram, board.verified, board.evidence)
    document = {
        "boards": [
            {
                "id": board.id,
                "name": board.name,
                "core": board.core,
                "flash_bytes": board.flash_bytes,
                "ram_bytes": board.ram_bytes,
                "verified": board.verified,
                "evidence": board.evidence,
                "emulators": list(board.emulators),
                "uploaders": list(board.uploaders),
            }
            for board in boards
        ]
    }
    ui.result(document, table)
