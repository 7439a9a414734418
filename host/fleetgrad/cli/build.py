# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad build`: the configured model as C, and the firmware made of it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.report.units import kilobytes
from fleetgrad.toolchain import APPS

from .firmware import Build, build_firmware, own_firmware, sizes_document
from .project import configured_for_a_model
from .ui import Ui, verb


@click.command()
@click.option("--board", "board_id", help="The board; by default the configured one.")
@click.option("--app", type=click.Choice(APPS), default="node", help="Which firmware.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; build/MODEL else.")
@own_firmware
@verb
@configured_for_a_model
def command(
    ui: Ui,
    config: Config,
    *,
    board_id: str | None,
    app: str,
    output: Path | None,
    own: Path | None,
) -> None:
    """Generates C for the model and builds the firmware for a board.

    MODEL is a .tflite file; by default the configured one.
    """
    board = load_board(paths.boards(), board_id or config.fleet.board)
    ui.note(f"building {config.model_name} for {board.id}")
    made = build_firmware(config, board, app, output or Path("build") / config.model_name, own=own)
    ui.detail(f"deepest calls: {' -> '.join(made.image.stack_path)}")
    document = {
        "image": str(made.image.path),
        "bundle": str(made.folder),
        "board": board.id,
        "app": app,
        **sizes_document(made.image),
        "model_digest": made.generated.digest.hex(),
        "firmware_hash": f"{made.image.firmware_hash:08x}",
        "seconds": round(made.seconds, 2),
    }
    ui.result(document, table_of(made))


def table_of(made: Build) -> Table:
    """Where the image is, and what it takes."""
    image = made.image
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("image", str(image.path))
    table.add_row("bundle", str(made.folder))
    table.add_row("model digest", made.generated.digest.hex()[:16])
    flash = f"{kilobytes(image.text_bytes)} code, {kilobytes(image.weights_bytes)} weights"
    table.add_row("flash", f"{kilobytes(image.flash_bytes)}: {flash}")
    parts = f"{image.bss_bytes:,} B variables, {image.stack_reserved_bytes:,} B stack"
    if image.stack_bytes:
        parts += f" (at most {image.stack_bytes:,} B used)"
    table.add_row("RAM", f"{kilobytes(image.ram_bytes)}: {parts}")
    table.add_row("took", f"{made.seconds:.1f} s")
    return table
