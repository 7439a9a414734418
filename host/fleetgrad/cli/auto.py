# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad plan MODEL --scheme auto`: the scheme that learns most within a board's limits."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table

from fleetgrad.boards import Board
from fleetgrad.config import Config
from fleetgrad.errors import BoardError, UsageError
from fleetgrad.report import SearchReport, Tried, render_search, search_table
from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.scheme import read_scheme
from fleetgrad_codegen.search import (
    KERNELS,
    Candidate,
    Deployment,
    Found,
    KernelCost,
    Limits,
    Origin,
    Rates,
    check_smallest,
    flat_rates,
    scheme_toml,
    search,
    search_space,
)

from .bundles import AUTO, INSTRUCTIONS_PER_MAC, budget_of, last_layer_of, loss_of, ranges_of
from .files import about, read_bytes, refuse_to_overwrite, write_text
from .trials import native_trials
from .ui import Ui

_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2}


class Bytes(click.ParamType[int]):
    """A number of bytes: 65536, 64K or 1M."""

    name = "BYTES"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Accepts digits with a unit of 1024 or 1024 times 1024 behind them."""
        text = str(value).upper().removesuffix("B").removesuffix("I")
        digits = text.rstrip("KM")
        if digits.isdecimal() and text[len(digits) :] in _UNITS:
            return int(digits) * _UNITS[text[len(digits) :]]
        return self.fail(f"{value!r} is no number of bytes, such as 65536, 64K or 1M", param, ctx)


@dataclass(frozen=True)
class Asked:
    """Limits from the command line; None for what the board has left.

    Attributes:
        ram_bytes: Of arena, parameters and state.
        flash_bytes: Of constants.
        instructions: Of a training step.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    instructions: int | None = None

    def limits(self, board: Board) -> Limits:
        """The tighter one of both each time."""
        budget = budget_of(board)
        ram, flash = self.ram_bytes, self.flash_bytes
        return Limits(
            ram_bytes=budget.ram_bytes if ram is None else min(ram, budget.ram_bytes),
            flash_bytes=budget.flash_bytes if flash is None else min(flash, budget.flash_bytes),
            instructions=self.instructions,
        )


def rates_of(board: Board) -> Rates:
    """What the board's kernels cost; one figure for all where its file says nothing.

    Raises:
        BoardError: The file names a kind of kernel that there is not.
    """
    unknown = sorted(board.instructions.keys() - set(KERNELS))
    if unknown:
        raise BoardError(
            f"there is no kind of kernel called {unknown[0]!r}",
            f"{board.folder / 'board.toml'}, instructions",
            f"some of {', '.join(KERNELS)}",
        )
    if not board.instructions:
        return flat_rates(INSTRUCTIONS_PER_MAC)
    return {kernel: KernelCost(*cost) for kernel, cost in board.instructions.items()}


@dataclass(frozen=True)
class Result:
    """A finished search with what came of it.

    Attributes:
        found: The search.
        origin: What it followed from.
        text: The scheme file.
        bundle: The model generated with it.
        seconds: How long it took.
    """

    found: Found
    origin: Origin
    text: str
    bundle: Bundle
    seconds: float


def find_scheme(ui: Ui, config: Config, board: Board, asked: Asked) -> Result:
    """Searches with the configured model, data and terms.

    Raises:
        UsageError: There is no data, or the model cannot be read.
        BudgetError: Nothing fits.
        CodegenError: Model or data do not allow it.
        FleetgradError: Likewise.
    """
    started = time.monotonic()
    if not config.data.path.is_file():
        raise UsageError(
            "the scheme auto needs proxy data",
            str(config.data.path),
            "an .npz with x and y that resembles what boards will see",
            "--data PROXY.npz",
        )
    content = read_bytes(config.model.path, "model")
    rates, limits = rates_of(board), asked.limits(board)
    with about(config.model.path):
        space = search_space(
            content,
            config.model_name,
            loss=loss_of(config, content),
            last=last_layer_of(config.scheme),
            deployment=Deployment(config.scheme.recompute, config.scheme.page, ranges_of(config)),
        )
        check_smallest(space, rates, limits)
    train, sizes = config.train, config.search
    with native_trials(ui, config, space) as trials:
        found = search(
            space,
            trials,
            rates=rates,
            limits=limits,
            heldout=len(trials.data.eval_x),
            seed=train.seed,
            seeds=sizes.seeds,
        )
        origin = Origin(
            board=board.id,
            data_sha256=hashlib.sha256(read_bytes(config.data.path, "data")).hexdigest(),
            samples=len(trials.data.train_x),
            heldout=len(trials.data.eval_x),
            epochs=train.epochs,
            learning_rate=train.learning_rate,
            seed=train.seed,
            seeds=sizes.seeds,
        )
    text = scheme_toml(found, origin)
    scheme = read_scheme(text, "the scheme found", last=space.last)
    bundle = generate(
        content,
        config.model_name,
        scheme=scheme,
        loss=space.loss,
        recomputing=space.deployment.recomputing,
        paging=space.deployment.paging,
        ranges=space.deployment.ranges,
        board_budget=limits.budget,
    )
    return Result(found, origin, text, bundle, time.monotonic() - started)


def with_data(config: Config, data: Path | None) -> Config:
    """The same config with another data set."""
    if data is None:
        return config
    return replace(config, data=replace(config.data, path=data.absolute()))


def document_of(result: Result) -> dict[str, Any]:
    """The search as --json tells it."""
    found = result.found
    return {
        "limits": asdict(found.limits),
        "origin": asdict(result.origin),
        "seconds": round(result.seconds, 1),
        "before": asdict(found.before),
        "chosen": _candidate(found.chosen),
        "rows": [asdict(row) for row in found.rows],
        "candidates": [_candidate(candidate) for candidate in found.candidates],
        "rank_correlation": None
        if math.isnan(found.rank_correlation)
        else round(found.rank_correlation, 4),
        "standard_error": round(found.standard_error, 4),
        "trials": [
            {
                "ratios": None if choice is None else dict(choice.ratios),
                "scores": [asdict(score) for score in scores],
            }
            for choice, scores in found.trials.scores.items()
        ],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "label": candidate.label,
        "ratios": dict(candidate.choice.ratios),
        **asdict(candidate.cost),
        "fits": candidate.fits,
        "predicted": asdict(candidate.predicted),
        "measured": {**asdict(candidate.measured), "gain": candidate.gain},
    }


def report_of(result: Result, config: Config, board: Board) -> SearchReport:
    """The search as the report shows it."""
    found = result.found
    return SearchReport(
        model=config.model_name,
        board=board.name,
        ram_limit=found.limits.ram_bytes,
        flash_limit=found.limits.flash_bytes,
        instruction_limit=found.limits.instructions,
        loss_before=found.before.loss,
        accuracy_before=found.before.accuracy,
        tried=tuple(
            Tried(
                label=candidate.label,
                layers=candidate.choice.layers,
                ratios=" ".join(
                    f"{op}:{ratio:g}" for op, ratio in candidate.choice.ratios if ratio
                ),
                ram_bytes=candidate.cost.ram_bytes,
                flash_bytes=candidate.cost.flash_bytes,
                instructions=candidate.cost.instructions,
                fits=candidate.fits,
                chosen=candidate is found.chosen,
                predicted_gain=candidate.predicted.gain,
                predicted_loss=candidate.predicted.loss,
                predicted_accuracy=candidate.predicted.accuracy,
                gain=candidate.gain,
                loss=candidate.measured.loss,
                accuracy=candidate.measured.accuracy,
            )
            for candidate in sorted(found.candidates, key=lambda c: c.cost.order)
        ),
        rank_correlation=found.rank_correlation,
        standard_error=found.standard_error,
        samples=result.origin.samples,
        heldout=result.origin.heldout,
        seeds=result.origin.seeds,
        learning_rate=result.origin.learning_rate,
        scheme=result.text,
    )


def rows_table(found: Found) -> Table:
    """The scheme's layers, what each is expected to bring, and what it costs."""
    table = Table(title="What trains", title_justify="left", title_style="bold", box=None,
                  pad_edge=False, header_style="dim")  # fmt: skip
    table.add_column("layer", no_wrap=True)
    for heading in ("channels", "ratio", "gain", "RAM", "flash", "instructions"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        table.add_row(
            f"{row.op:>3} {row.name}",
            f"{row.channels} of {row.of}" if row.channels else "bias",
            f"{row.ratio:g}",
            f"{row.gain:+.3f}",
            f"{row.saves.ram_bytes:,} B",
            f"{row.saves.flash_bytes:,} B",
            f"~{row.saves.instructions:,}",
        )
    return table


def show(
    ui: Ui,
    config: Config,
    board: Board,
    asked: Asked,
    *,
    figures: Any,
    output: Path | None,
    page: Path | None,
) -> None:
    """Searches, writes the scheme file and the report, and shows both.

    Args:
        ui: Where to.
        config: Model, data, terms.
        board: Whose limits.
        asked: Tighter limits.
        figures: Makes the document of a bundle, as every scheme's plan has it.
        output: Gets the scheme file.
        page: Gets the report.
    """
    refuse_to_overwrite(output, config.model.path, config.data.path)
    if config.train.batch != 1:
        ui.note("trials take one sample per update: more than the last layer trains no other way")
    result = find_scheme(ui, config, board, asked)
    report = report_of(result, config, board)
    if output is not None:
        write_text(output, result.text)
        ui.note(f"scheme file: {output}")
    if page is not None:
        write_text(page, render_search(report))
        ui.note(f"report: {page}")
    document = figures(result.bundle, AUTO, None) | {"board": board.id}
    ui.result(
        document | {"search": document_of(result), "scheme_file": result.text},
        rows_table(result.found),
        "",
        search_table(report),
        "",
        f"rank correlation of predicted and measured gains: {correlation(report)}",
        f"{result.seconds:.0f} s",
    )


def correlation(report: SearchReport) -> str:
    """In words where there is none."""
    value = report.rank_correlation
    return "none: too few schemes differ" if math.isnan(value) else f"{value:.2f}"
