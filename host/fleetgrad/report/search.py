# SPDX-License-Identifier: Apache-2.0
"""What a search for a scheme predicted, beside what was measured afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from . import svg
from .charts import WIDTH_IN
from .html import Tile, environment, style_sheet
from .units import count, gain, kilobytes, millions, number, percent


@dataclass(frozen=True)
class Tried:
    """One scheme.

    Attributes:
        label: ``auto`` or the names of plain schemes.
        layers: How many of the last layers train.
        ratios: Operators and shares of channels whose weights train.
        ram_bytes: As planned.
        flash_bytes: As planned.
        instructions: Of a training step, about.
        fits: Whether it keeps to the limits.
        chosen: Whether it is the result.
        predicted_gain: By how much the logarithm of the held-out loss falls.
        predicted_loss: Held out.
        predicted_accuracy: Held out; None without labels.
        gain: As measured.
        loss: As measured.
        accuracy: As measured.
    """

    label: str
    layers: int
    ratios: str
    ram_bytes: int
    flash_bytes: int
    instructions: int
    fits: bool
    chosen: bool
    predicted_gain: float
    predicted_loss: float
    predicted_accuracy: float | None
    gain: float
    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class SearchReport:
    """A finished search.

    Attributes:
        model: Its name.
        board: For people.
        ram_limit: Bytes.
        flash_limit: Bytes.
        instruction_limit: Of a step; None for none.
        loss_before: Held out, of the model as exported.
        accuracy_before: Likewise; None without labels.
        tried: In the order of their RAM.
        rank_correlation: Spearman's, of predicted and measured gains; NaN where there is none.
        standard_error: Of a row's gain.
        samples: That trials trained on.
        heldout: That they were scored on.
        seeds: Trials of each scheme.
        learning_rate: Of the trials.
        scheme: The scheme file.
    """

    model: str
    board: str
    ram_limit: int
    flash_limit: int
    instruction_limit: int | None
    loss_before: float
    accuracy_before: float | None
    tried: tuple[Tried, ...]
    rank_correlation: float
    standard_error: float
    samples: int
    heldout: int
    seeds: int
    learning_rate: float
    scheme: str

    @property
    def chosen(self) -> Tried:
        """The result."""
        return next(one for one in self.tried if one.chosen)


def search_table(report: SearchReport) -> Table:
    """Everything that was planned and tried, smallest first."""
    table = Table(title="Schemes, predicted and measured", title_justify="left",
                  title_style="bold", box=None, pad_edge=False, header_style="dim")  # fmt: skip
    table.add_column("scheme", no_wrap=True)
    for heading in (
        "layers",
        "RAM",
        "flash",
        "instructions",
        "loss: said",
        "is",
        "accuracy: said",
        "is",
    ):
        table.add_column(heading, justify="right")
    table.add_column("")
    for one in report.tried:
        verdict = Text("chosen", style="bold green") if one.chosen else Text("fits", style="green")
        table.add_row(
            one.label,
            str(one.layers),
            kilobytes(one.ram_bytes),
            kilobytes(one.flash_bytes),
            f"~{millions(one.instructions)}",
            number(one.predicted_loss),
            number(one.loss),
            percent(one.predicted_accuracy),
            percent(one.accuracy),
            verdict if one.fits else Text("too big", style="red"),
        )
    return table


def scatter(report: SearchReport) -> str:
    """Measured over predicted gains, a dot per scheme."""
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, 4.2))
        axes = figure.add_axes((0.08, 0.13, 0.89, 0.83))
        values = [v for one in report.tried for v in (one.predicted_gain, one.gain)]
        finite = [value for value in values if math.isfinite(value)]
        low, high = min(0.0, *finite), max(0.1, *finite)
        room = 0.06 * (high - low)
        axes.plot(
            [low, high], [low, high], color=svg.REFERENCE, linewidth=1.2, linestyle=(0, (4, 2.5))
        )
        for one in report.tried:
            colour = svg.ACCENT if one.fits else svg.BEFORE
            size = 10 if one.chosen else 6
            axes.plot([one.predicted_gain], [one.gain], "o", color=colour, markersize=size)
            axes.annotate(
                f"{one.label}, {kilobytes(one.ram_bytes)}", (one.predicted_gain, one.gain),
                xytext=(8, -9), textcoords="offset points", fontsize=8,
                color=svg.INK if one.chosen else svg.MUTED,
                fontweight="bold" if one.chosen else "normal",
            )  # fmt: skip
        axes.set_xlim(low - room, high + 5 * room)
        axes.set_ylim(low - room, high + room)
        axes.grid(axis="both")
        axes.set_xlabel("predicted gain: by how much the logarithm of the held-out loss falls")
        axes.set_ylabel("measured")
        words = f"Predicted and measured gains of {len(report.tried)} schemes."
        return svg.to_svg(figure, "scatter", words)


def tiles_of(report: SearchReport) -> list[Tile]:
    """The figures a reader looks for first."""
    best = report.chosen
    tiles = [Tile("Held-out loss", number(best.loss), f"{number(report.loss_before)} before")]
    if best.accuracy is not None:
        change = gain(report.accuracy_before, best.accuracy)
        note = f"{percent(best.predicted_accuracy)} predicted, {change} by training"
        tiles.append(Tile("Accuracy", percent(best.accuracy), note))
    else:
        tiles.append(Tile("Predicted loss", number(best.predicted_loss), "before it was tried"))
    limit = report.instruction_limit
    tiles += [
        Tile("RAM", kilobytes(best.ram_bytes), f"of {kilobytes(report.ram_limit)}"),
        Tile("Flash", kilobytes(best.flash_bytes), f"of {kilobytes(report.flash_limit)}"),
        Tile(
            "Training step",
            f"~{millions(best.instructions)}",
            "instructions" if limit is None else f"instructions, of {count(limit)}",
        ),
    ]
    if math.isfinite(report.rank_correlation):
        note = "of predicted and measured gains, Spearman"
        tiles.append(Tile("Rank correlation", f"{report.rank_correlation:.2f}", note))
    return tiles


def render_search(report: SearchReport) -> str:
    """The report as one page.

    Args:
        report: A finished search.

    Returns:
        One HTML document, the same for the same report.
    """
    return (
        environment()
        .get_template("search.html.j2")
        .render(style=style_sheet(), report=report, tiles=tiles_of(report), picture=scatter(report))
    )
