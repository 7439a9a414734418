# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench memory`: arenas against their lower bounds, firmware against its budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from fleetgrad import paths
from fleetgrad.errors import ToolError
from fleetgrad.report.units import kilobytes
from fleetgrad_codegen.bundle import Scheme, generate
from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Sparse, find_head

from ..backends import Model
from ..ui import Ui, verb
from .corpus import models_option, read_corpus

CODE_TARGET: Final = 24 * 1024
RAM_TARGET: Final = 16 * 1024
BUILD_TARGET_S: Final = 10.0

# With their defaults: all layers, half of the channels where not all.
SCHEMES: Final[dict[str, Scheme | None]] = {
    "none": None,
    "last-layer": LastLayer(),
    "bias": Bias(),
    "sparse": Sparse(),
    "full": Full(),
}


@dataclass(frozen=True)
class Row:
    """One model and scheme.

    Attributes:
        model: Its name.
        scheme: One of SCHEMES.
        arena_bytes: What the planner needed.
        lower_bound_bytes: What no plan can go below.
        params_ram_bytes: Parameters, their base and shadow.
        problem: Why the scheme does not fit the model; empty when it does.
    """

    model: str
    scheme: str
    arena_bytes: int = 0
    lower_bound_bytes: int = 0
    params_ram_bytes: int = 0
    problem: str = ""


@click.command()
@models_option
@click.option("--board", "board_id", default="mps2_an386", show_default=True)
@verb
def memory(ui: Ui, models: Path | None, board_id: str) -> None:
    """Plans every model with every scheme, and builds the digits firmware from nothing."""
    usable, _ = read_corpus(models)
    rows = [plan(model, scheme) for _, model in usable for scheme in SCHEMES]
    built = build_from_nothing(board_id)
    planned = [row for row in rows if not row.problem]
    at_bound = sum(row.arena_bytes == row.lower_bound_bytes for row in planned)
    document = {
        "plans": [asdict(row) for row in rows],
        "at_lower_bound": at_bound,
        "firmware": built,
    }
    code, ram, seconds = built["text_bytes"], built["ram_bytes"], built["wall_seconds"]
    text = Text(
        f"{at_bound} of {len(planned)} plans are at their lower bound\n\n"
        f"digits firmware for {board_id}\n"
        f"  code without weights  {kilobytes(code)} (target 24 KB: {met(code <= CODE_TARGET)})\n"
        f"  RAM with the stack    {kilobytes(ram)} (target 16 KB: {met(ram <= RAM_TARGET)})\n"
        f"  codegen and build     {seconds:.1f} s, nothing cached"
        f" (target 10 s: {met(seconds <= BUILD_TARGET_S)})"
    )
    ui.result(document, table_of(rows), text)


def build_from_nothing(board_id: str) -> dict[str, Any]:
    """What `fleetgrad build` says of the digits firmware, in a process of its own with no cache."""
    plan_file = paths.home() / "examples" / "digits" / "fleetgrad.toml"
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
        command = [sys.executable, "-m", "fleetgrad", "build", "--json", "--board", board_id]
        command += ["--config", str(plan_file), "-o", folder]
        environment = os.environ | {paths.CACHE_VARIABLE: str(Path(folder, "cache"))}
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        seconds = time.monotonic() - started
    if done.returncode:
        raise ToolError("the digits firmware does not build", hint=done.stderr.strip())
    document: dict[str, Any] = json.loads(done.stdout)
    return document | {"wall_seconds": round(seconds, 2)}


def met(good: bool) -> str:
    """A target's outcome in a word."""
    return "met" if good else "missed"


def plan(model: Model, scheme: str) -> Row:
    """Plans one model."""
    try:
        loss = Loss.NONE
        if scheme != "none":
            softmax = find_head(model.device).softmax
            loss = Loss.SOFTMAX_CROSS_ENTROPY if softmax else Loss.SQUARED_ERROR
        memory = generate(model.content, model.name, scheme=SCHEMES[scheme], loss=loss).memory
    except CodegenError as error:
        return Row(model.name, scheme, problem=error.what)
    layout = memory.layout
    return Row(
        model.name, scheme, layout.arena_bytes, layout.lower_bound_bytes, memory.params_ram_bytes
    )


def table_of(rows: list[Row]) -> Table:
    """A plan per line."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="Arena, bytes",
                  title_justify="left", title_style="bold")  # fmt: skip
    table.add_column("model", no_wrap=True)
    table.add_column("scheme", no_wrap=True)
    for heading in ("arena", "lower bound", "over", "parameters"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.problem:
            table.add_row(row.model, row.scheme, Text(row.problem, style="dim"))
            continue
        over = row.arena_bytes / row.lower_bound_bytes - 1
        table.add_row(
            row.model,
            row.scheme,
            f"{row.arena_bytes:,}",
            f"{row.lower_bound_bytes:,}",
            f"{100 * over:.1f} %",
            f"{row.params_ram_bytes:,}",
        )
    return table
