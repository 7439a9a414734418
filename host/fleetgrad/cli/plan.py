# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad plan MODEL`: what training would cost, before anything is built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.config import Config
from fleetgrad.errors import UsageError
from fleetgrad.report import Memory, MemoryBlock, Tile, render_plan
from fleetgrad.report.units import kilobytes, millions
from fleetgrad_codegen.bundle import Bundle
from fleetgrad_codegen.errors import BudgetError
from fleetgrad_codegen.plan import check_budget

from .auto import Asked, Bytes, show, with_data
from .bundles import AUTO, INSTRUCTIONS_PER_MAC, SchemeName, budget_of, make_bundle
from .files import write_text
from .project import configured_for_a_model
from .ui import Ui, verb


def memory_of(bundle: Bundle) -> Memory:
    """The bundle's plan as the report draws it."""
    layout = bundle.memory.layout
    return Memory(
        arena_bytes=layout.arena_bytes,
        lower_bound_bytes=layout.lower_bound_bytes,
        steps=bundle.memory.steps,
        timeline=tuple(
            MemoryBlock(
                name=placement.buffer.name,
                offset=placement.offset,
                size=size,
                first=first,
                last=last,
            )
            for placement in layout.placements
            for first, last, size in placement.buffer.spans
        ),
    )


def figures_of(bundle: Bundle, scheme: str, problem: BudgetError | None) -> dict[str, Any]:
    """The JSON document of one scheme."""
    memory = bundle.memory
    cost: Any = bundle.manifest["cost"]
    return {
        "scheme": scheme,
        "arena_bytes": memory.layout.arena_bytes,
        "lower_bound_bytes": memory.layout.lower_bound_bytes,
        "params_ram_bytes": memory.params_ram_bytes,
        "persistent_bytes": memory.persistent_bytes,
        "ram_bytes": memory.ram_bytes,
        "flash_bytes": memory.weights_flash_bytes,
        "forward_macs": cost["forward_macs"],
        "backward_macs": cost["backward_macs"],
        "recompute_macs": cost["recompute_macs"],
        "instructions_estimate": INSTRUCTIONS_PER_MAC
        * (cost["forward_macs"] + cost["backward_macs"] + cost["recompute_macs"]),
        "fits": problem is None,
        "problem": "" if problem is None else str(problem),
    }


def check(bundle: Bundle, board: Board) -> BudgetError | None:
    """Why the plan does not fit the board; None when it does."""
    try:
        check_budget(bundle.memory, budget_of(board))
    except BudgetError as error:
        return error
    return None


def table_of(rows: list[dict[str, Any]], board: Board) -> Table:
    """The schemes side by side."""
    budget = budget_of(board)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("scheme")
    for heading in ("arena", "lower bound", "params", "RAM", "flash", "MACs", "instructions"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        fits = Text("fits", style="green") if row["fits"] else Text("too big", style="bold red")
        table.add_row(
            row["scheme"],
            f"{row['arena_bytes']:,} B",
            f"{row['lower_bound_bytes']:,} B",
            f"{row['params_ram_bytes']:,} B",
            f"{row['ram_bytes']:,} B",
            f"{row['flash_bytes']:,} B",
            macs_of(row),
            f"~{row['instructions_estimate']:,}",
            fits,
        )
    table.add_section()
    ram, flash = kilobytes(budget.ram_bytes), kilobytes(budget.flash_bytes)
    table.add_row(f"left on {board.id}", "", "", "", ram, flash, style="dim")
    return table


def macs_of(row: dict[str, Any]) -> str:
    """Forward and backward, and what is computed again."""
    again = f" + {row['recompute_macs']:,} again" if row["recompute_macs"] else ""
    return f"{row['forward_macs']:,} + {row['backward_macs']:,}{again}"


@click.command()
@click.option("--board", "board_id", help="The board; by default the configured one.")
@click.option("--scheme", type=SchemeName(searches=True), help="Only this scheme.")
@click.option(
    "--recompute", is_flag=True, help="Computes cheap activations again instead of keeping them."
)
@click.option(
    "--page", "paging", is_flag=True, help="Makes int8 weights of one trained layer at a time."
)
@click.option("--batch", type=click.IntRange(1), help="Samples per update.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    help="Gets the memory map, or the report of the search.",
)
@click.option("--data", type=click.Path(path_type=Path), help="auto: proxy data, .npz with x, y.")
@click.option("--ram", type=Bytes(), help="auto: most RAM, such as 64K.")
@click.option("--flash", type=Bytes(), help="auto: most flash.")
@click.option("--instructions", type=click.IntRange(1), help="auto: most in a training step.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="auto: gets the scheme file.")
@verb
@configured_for_a_model
def command(
    ui: Ui,
    config: Config,
    *,
    board_id: str | None,
    scheme: str | None,
    batch: int | None,
    recompute: bool,
    paging: bool,
    page: Path | None,
    data: Path | None,
    output: Path | None,
    ram: int | None,
    flash: int | None,
    instructions: int | None,
) -> None:
    """Shows RAM, flash and MACs per scheme against the board's budget.

    MODEL is a .tflite file; by default the configured one. The scheme auto tries layers out on
    proxy data, and finds those that bring most within the budget.
    """
    board = load_board(paths.boards(), board_id or config.fleet.board)
    if recompute:
        config = replace(config, scheme=replace(config.scheme, recompute=True))
    if paging:
        config = replace(config, scheme=replace(config.scheme, page=True))
    asked = Asked(ram, flash, instructions)
    if (scheme or config.scheme.name) == AUTO:
        config = with_data(config, data)
        show(ui, config, board, asked, figures=figures_of, output=output, page=page)
        return
    if data or output or asked != Asked():
        raise UsageError(
            "proxy data, limits and an output are for a search",
            "--data, --ram, --flash, --instructions, --output",
            hint="--scheme auto",
        )
    if batch is not None:
        config = with_batch(config, batch)
    chosen = scheme or config.scheme.name
    bundles = {name: make_bundle(config, None, name) for name in dict.fromkeys((chosen, "none"))}
    problems = {name: check(bundle, board) for name, bundle in bundles.items()}
    rows = [figures_of(bundle, name, problems[name]) for name, bundle in bundles.items()]
    if page is not None:
        write_text(page, page_of(bundles[chosen], rows[0], config.model_name, board))
        ui.note(f"memory map: {page}")
    shown = rows[:1] if scheme else rows
    ui.result(rows[0] | {"board": board.id, "schemes": rows}, table_of(shown, board))
    problem = problems[chosen]
    if problem is not None:
        ui.refuse(problem)


def with_batch(config: Config, batch: int) -> Config:
    """The same config with another batch size."""
    return replace(config, train=replace(config.train, batch=batch))


def page_of(bundle: Bundle, row: dict[str, Any], name: str, board: Board) -> str:
    """The memory map as a page."""
    trains = "only infers" if row["scheme"] == "none" else f"trains by {row['scheme']}"
    tiles = [
        Tile("Arena", kilobytes(row["arena_bytes"]), f"{row['lower_bound_bytes']:,} B at least"),
        Tile("Parameters", kilobytes(row["params_ram_bytes"]), "trained, their base, int8 shadow"),
        Tile("RAM", kilobytes(row["ram_bytes"]), "arena, parameters and state"),
        Tile("Flash", kilobytes(row["flash_bytes"]), "weights and initial parameters"),
        Tile("Forward", millions(row["forward_macs"]), "multiply-accumulates"),
        Tile("Backward", millions(row["backward_macs"]), "multiply-accumulates"),
    ]
    fits = "fits" if row["fits"] else "does not fit"
    summary = f"The model {trains}; it {fits} {board.name}."
    return render_plan(name, summary, tiles, memory_of(bundle))
