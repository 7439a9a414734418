# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad flash`: builds, puts it on a board, and waits for the board to say that it runs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from fleetgrad import paths
from fleetgrad.boards import UPLOADERS, Board, UploadSpec, load_board
from fleetgrad.config import Config
from fleetgrad.data import write_image
from fleetgrad.errors import BoardError, DataError
from fleetgrad.flash import Payload, await_hello, flash_as_uf2, flash_with_pyocd, payload_of
from fleetgrad.report.units import kilobytes

from .firmware import Build, build_firmware, own_firmware
from .local import device_of
from .project import configured_for_a_model
from .ui import Ui, verb


@click.command()
@click.option("--board", "board_id", required=True, help="The board; see fleetgrad boards.")
@click.option("--port", help="The board's serial port; by default every USB port is asked.")
@click.option("--uploader", type=click.Choice(UPLOADERS), help="By default the board's first one.")
@click.option("--probe", default="", help="Id of the debug probe, where there is more than one.")
@click.option(
    "--drive", type=click.Path(path_type=Path), help="Where the board's drive is mounted."
)
@click.option("--user", help="Whose samples go with it; by default the board keeps its own.")
@click.option("--device", type=click.IntRange(1, 2**63), help="The board's id; else the user's.")
@click.option("--check/--no-check", default=True, help="Wait for the board's HELLO.")
@click.option("--wait", type=click.FloatRange(0.1, 600.0), default=15.0, help="Seconds, at most.")
@own_firmware
@verb
@configured_for_a_model
def command(
    ui: Ui,
    config: Config,
    *,
    board_id: str,
    port: str | None,
    uploader: str | None,
    probe: str,
    drive: Path | None,
    user: str | None,
    device: int | None,
    check: bool,
    wait: float,
    own: Path | None,
) -> None:
    """Builds the node's firmware, flashes it, and waits until the right model answers.

    MODEL is a .tflite file; by default the configured one.
    """
    started = time.monotonic()
    board = load_board(paths.boards(), board_id)
    upload = _upload_of(board, uploader)
    if device is not None and user is None:
        raise DataError("the id belongs to the samples", "--device", "--user as well")
    ui.note(f"building {config.model_name} for {board.id}")
    made = build_firmware(config, board, "node", Path("build") / config.model_name, own=own)
    payload = payload_of(board, made.image.path, _samples(config, made, user, device))
    size = kilobytes(sum(len(data) for _, data in payload.pieces))
    ui.note(f"flashing {size} with {upload.tool}")
    _flash(ui, payload, upload, probe, drive)
    document: dict[str, object] = {"board": board.id, "uploader": upload.tool, "port": None,
                "digest": made.generated.digest.hex(), "device": None}  # fmt: skip
    if check:
        ports = (port,) if port else config.fleet.ports
        found = await_hello(ports, config.fleet.baud, made.generated.digest, wait)
        assert found.identity is not None
        document |= {"port": found.url, "device": f"{found.identity.device:016x}"}
    document["seconds"] = round(time.monotonic() - started, 2)
    ui.result(document, table_of(document))


def table_of(document: dict[str, object]) -> Table:
    """What answers now, and where."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("model digest", str(document["digest"])[:16])
    if document["port"] is not None:
        table.add_row("answers on", str(document["port"]))
        table.add_row("as device", str(document["device"]))
    table.add_row("took", f"{document['seconds']:.1f} s")
    return table


def _upload_of(board: Board, uploader: str | None) -> UploadSpec:
    for upload in board.uploads:
        if uploader in (None, upload.tool):
            return upload
    if not board.uploads:
        raise BoardError(
            f"{board.id} cannot be flashed",
            where=str(board.folder / "board.toml"),
            expected="a table [[upload]]",
            hint="fleetgrad emulate runs emulated boards" if board.qemu else "",
        )
    raise BoardError(
        f"{board.id} is not flashed with {uploader}", "--uploader", ", ".join(board.uploaders)
    )


def _samples(config: Config, made: Build, user: str | None, device: int | None) -> bytes:
    """The data image; none where the board keeps the one that it has."""
    if user is None:
        return b""
    data = device_of(config, made.bundle, user)
    if device is not None:
        data = replace(data, device=device)
    return write_image(data)


def _flash(ui: Ui, payload: Payload, upload: UploadSpec, probe: str, drive: Path | None) -> None:
    if upload.tool == "uf2":
        flash_as_uf2(payload, upload, drive)
        return
    shown = ui.verbosity > 0 or (ui.verbosity == 0 and ui.err.is_terminal)
    tell = (lambda text: ui.err.print(text, end="", markup=False)) if shown else (lambda _: None)
    flash_with_pyocd(payload, upload, probe, tell)
