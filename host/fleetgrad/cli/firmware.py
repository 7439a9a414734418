# SPDX-License-Identifier: Apache-2.0
"""From a config to a built firmware: generate, write, compile, link, measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fleetgrad import bundle as bundles
from fleetgrad.boards import Board
from fleetgrad.config import Config
from fleetgrad.report import Firmware
from fleetgrad.toolchain import Image, build_image
from fleetgrad_codegen.bundle import Bundle as GeneratedBundle

from .bundles import make_bundle


def own_firmware(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a verb --firmware, as `own`."""
    return click.option(
        "--firmware",
        "own",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Folder with the C files of your own firmware, in place of the node's.",
    )(function)


@dataclass(frozen=True)
class Build:
    """A generated model and, where asked for, the image made of it.

    Attributes:
        generated: What codegen made, in memory.
        bundle: The same as the host reads it back from the folder.
        folder: Where the bundle was written.
        image: The firmware.
        seconds: Generating, compiling and linking, wall time.
    """

    generated: GeneratedBundle
    bundle: bundles.Bundle
    folder: Path
    image: Image
    seconds: float


def build_firmware(
    config: Config,
    board: Board,
    app: str,
    out: Path,
    *,
    scheme: str | None = None,
    own: Path | None = None,
) -> Build:
    """Generates the configured model and builds a firmware of it.

    Args:
        config: Model, scheme, batch.
        board: What to build for.
        app: node, bench or library.
        out: Gets the folders `bundle` and the board's id.
        scheme: Instead of the configured one.
        own: Folder with a firmware of the user's own, in place of the node's.
    """
    started = time.monotonic()
    generated = make_bundle(config, board, scheme)
    folder = out / "bundle"
    generated.write(folder)
    image = build_image(folder, board, app, out / board.id, own=own)
    seconds = time.monotonic() - started
    return Build(generated, bundles.load(folder), folder, image, seconds)


def firmware_of(image: Image, board: Board) -> Firmware:
    """An image's sizes beside its board's, as the report shows them."""
    return Firmware(
        board=board.id,
        text_bytes=image.text_bytes,
        weights_bytes=image.weights_bytes,
        data_bytes=image.data_bytes,
        bss_bytes=image.bss_bytes,
        stack_bytes=image.stack_reserved_bytes,
        flash_limit=board.flash_bytes,
        ram_limit=board.ram_bytes,
    )


def sizes_document(image: Image) -> dict[str, Any]:
    """The keys of `build --json` that speak of sizes."""
    return {
        "text_bytes": image.text_bytes,
        "weights_bytes": image.weights_bytes,
        "data_bytes": image.data_bytes,
        "bss_bytes": image.bss_bytes,
        "stack_bytes": image.stack_bytes,
        "stack_reserved_bytes": image.stack_reserved_bytes,
        "flash_bytes": image.flash_bytes,
        "ram_bytes": image.ram_bytes,
        "places": dict(image.places),
        "region_bytes": image.region_bytes,
    }
