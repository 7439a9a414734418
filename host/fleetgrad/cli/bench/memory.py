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
from fleetgrad.toolchain import build_image
from fleetgrad_codegen.bundle import Scheme, generate, plan_program, prepare
from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.paging import page_shadow
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.recompute import recompute, recompute_macs
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Sparse, find_head

from ..backends import Model, emulated_board
from ..ui import Ui, verb
from .corpus import models_option, read_corpus

CODE_TARGET: Final = 24 * 1024
RAM_TARGET: Final = 16 * 1024
BUILD_TARGET_S: Final = 10.0
BOUND_TARGET: Final = 1.05

# TFLite Micro 90b983c2 with CMSIS-NN 99f736a6, arm-none-eabi-gcc 12.2 -O3, Cortex-M4: bytes of the
# arena that one inference used, and .text of the linked image.
PEERS: Final = {
    "mlperf_kws_ref_model": (22_820, 53_000),
    "mlperf_ic_pretrainedResnet_quant": (54_996, 49_700),
    "mlperf_ad01_int8": (2_580, 26_200),
}
PEER_ARENA_TARGET: Final = 0.95
PEER_CODE_TARGET: Final = 0.5

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
        ram_bytes: All of it, operators' state included.
        recomputed_arena_bytes: Arena where cheap activations are computed again.
        recompute_macs: What that costs.
        paged_ram_bytes: All of it where int8 weights are made layer by layer.
        problem: Why the scheme does not fit the model; empty when it does.
    """

    model: str
    scheme: str
    arena_bytes: int = 0
    lower_bound_bytes: int = 0
    params_ram_bytes: int = 0
    ram_bytes: int = 0
    recomputed_arena_bytes: int = 0
    recompute_macs: int = 0
    paged_ram_bytes: int = 0
    problem: str = ""

    @property
    def ratio(self) -> float:
        """Of the arena to its lower bound."""
        return self.arena_bytes / self.lower_bound_bytes


@dataclass(frozen=True)
class Inference:
    """A model that only infers, beside TFLite Micro with the same model.

    Attributes:
        model: Its name.
        arena_bytes: What the planner needed.
        text_bytes: Of the firmware that counts instructions: code without the model's constants.
        peer_arena_bytes: Arena of TFLite Micro.
        peer_text_bytes: Its code.
    """

    model: str
    arena_bytes: int
    text_bytes: int
    peer_arena_bytes: int
    peer_text_bytes: int

    @property
    def meets(self) -> bool:
        """Both targets."""
        arena = self.arena_bytes <= PEER_ARENA_TARGET * self.peer_arena_bytes
        return arena and self.text_bytes <= PEER_CODE_TARGET * self.peer_text_bytes


@click.command()
@models_option
@click.option("--board", "board_id", default="mps2_an386", show_default=True)
@verb
def memory(ui: Ui, models: Path | None, board_id: str) -> None:
    """Plans every model with every scheme, and builds the digits firmware from nothing."""
    usable, _ = read_corpus(models)
    rows = [plan(model, scheme) for _, model in usable for scheme in SCHEMES]
    peers = [infer(model, board_id) for _, model in usable if model.name in PEERS]
    built = build_from_nothing(board_id)
    planned = [row for row in rows if not row.problem]
    at_bound = sum(row.arena_bytes == row.lower_bound_bytes for row in planned)
    worst = max((row.ratio for row in planned), default=0.0)
    document = {
        "plans": [asdict(row) for row in rows],
        "at_lower_bound": at_bound,
        "most_over_bound": worst,
        "inference": [asdict(row) for row in peers],
        "firmware": built,
    }
    code, ram, seconds = built["text_bytes"], built["ram_bytes"], built["wall_seconds"]
    text = Text(
        f"{at_bound} of {len(planned)} plans are at their lower bound; the worst takes"
        f" {worst:.3f} times as much (target {BOUND_TARGET}: {met(worst <= BOUND_TARGET)})\n\n"
        f"digits firmware for {board_id}\n"
        f"  code without weights  {kilobytes(code)} (target 24 KB: {met(code <= CODE_TARGET)})\n"
        f"  RAM with the stack    {kilobytes(ram)} (target 16 KB: {met(ram <= RAM_TARGET)})\n"
        f"  codegen and build     {seconds:.1f} s, nothing cached"
        f" (target 10 s: {met(seconds <= BUILD_TARGET_S)})"
    )
    ui.result(document, table_of(rows), peer_table(peers), text)


def infer(model: Model, board_id: str) -> Inference:
    """Plans and builds a model that only infers."""
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
        bundle = generate(model.content, model.name)
        bundle.write(Path(folder, "bundle"))
        board = emulated_board(board_id)
        image = build_image(Path(folder, "bundle"), board, "bench", Path(folder, "image"))
    arena, text = PEERS[model.name]
    return Inference(model.name, bundle.memory.layout.arena_bytes, image.text_bytes, arena, text)


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
        made = prepare(model.content, model.name, scheme=SCHEMES[scheme], loss=loss)[2]
    except CodegenError as error:
        return Row(model.name, scheme, problem=error.what)
    again = recompute(made)
    memory, recomputed, paged = (plan_program(p)[0] for p in (made, again, page_shadow(made)))
    layout = memory.layout
    return Row(
        model.name,
        scheme,
        layout.arena_bytes,
        layout.lower_bound_bytes,
        memory.params_ram_bytes,
        memory.ram_bytes,
        recomputed.layout.arena_bytes,
        recompute_macs(again),
        paged.ram_bytes,
    )


def table_of(rows: list[Row]) -> Table:
    """A plan per line."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="Arena, bytes",
                  title_justify="left", title_style="bold")  # fmt: skip
    table.add_column("model", no_wrap=True)
    table.add_column("scheme", no_wrap=True)
    headings = ("arena", "bound", "over", "parameters", "RAM", "recomputed", "MACs", "paged RAM")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        if row.problem:
            table.add_row(row.model, row.scheme, Text(row.problem, style="dim"))
            continue
        table.add_row(
            row.model,
            row.scheme,
            f"{row.arena_bytes:,}",
            f"{row.lower_bound_bytes:,}",
            f"{100 * (row.ratio - 1):.1f} %",
            f"{row.params_ram_bytes:,}",
            f"{row.ram_bytes:,}",
            f"{row.recomputed_arena_bytes:,}" if row.recompute_macs else "",
            f"{row.recompute_macs:+,}" if row.recompute_macs else "",
            f"{row.paged_ram_bytes:,}" if row.paged_ram_bytes < row.ram_bytes else "",
        )
    return table


def peer_table(rows: list[Inference]) -> Table:
    """A model per line: arena and code of an inference, and of TFLite Micro's."""
    title = "Inference only, beside TFLite Micro, bytes"
    table = Table(box=None, pad_edge=False, header_style="dim", title=title,
                  title_justify="left", title_style="bold")  # fmt: skip
    table.add_column("model", no_wrap=True)
    for heading in ("arena", "its arena", "", "code", "its code", ""):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(
            row.model,
            f"{row.arena_bytes:,}",
            f"{row.peer_arena_bytes:,}",
            f"{row.arena_bytes / row.peer_arena_bytes:.2f}",
            f"{row.text_bytes:,}",
            f"{row.peer_text_bytes:,}",
            f"{row.text_bytes / row.peer_text_bytes:.2f}",
            met(row.meets),
        )
    return table
