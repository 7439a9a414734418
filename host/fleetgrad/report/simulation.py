# SPDX-License-Identifier: Apache-2.0
"""A simulated run as a table and as a page; two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final

from matplotlib.figure import Figure
from rich.table import Table

from . import svg
from .charts import PERCENT, WIDTH_IN
from .html import environment, style_sheet
from .units import DASH, count, number, percent

Document = Mapping[str, Any]
"""A run's result as ``--json`` shows it."""

_SHOWN: Final = 24  # rounds in a table: the first and the last ones


def simulation_table(document: Document) -> Table:
    """Rounds, one by one; of many the first and the last ones."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.title = (
        f"{document['run_id']}: {document['devices']:,} devices,"
        f" {percent(document['accuracy_before'])} to {percent(document['accuracy_after'])},"
        f" {document['device_rounds_per_second']:,.0f} device-rounds/s,"
        f" {document['peak_rss_bytes'] / 1e6:,.0f} MB"
    )
    for heading in ("round", "asked", "counted", "loss", "accuracy", "MB up", "seconds", "J"):
        table.add_column(heading, justify="right")
    rounds = document["rounds"]
    gap = len(rounds) - _SHOWN
    for place, one in enumerate(rounds):
        if gap > 0 and _SHOWN // 2 <= place < _SHOWN // 2 + gap:
            continue
        table.add_row(
            str(one["round"]),
            count(one["selected"]),
            count(one["accepted"]),
            number(one["loss"]),
            percent(one["accuracy"]),
            f"{one['bytes_up'] / 1e6:.2f}",
            DASH if one["seconds"] is None else f"{one['seconds']:,.1f}",
            DASH if one["joules"] is None else f"{one['joules']:.2f}",
        )
    return table


def render_simulation(document: Document, words: str) -> str:
    """One HTML page with the curves over rounds, bytes, and, with a clock, hours and joules."""
    return (
        environment()
        .get_template("simulation.html.j2")
        .render(
            style=style_sheet(),
            title=document["run_id"],
            summary=f"{document['devices']:,} virtual devices: {words}.",
            tiles=[
                ("accuracy before", percent(document["accuracy_before"])),
                ("accuracy after", percent(document["accuracy_after"])),
                ("model", document["model_digest"][:16]),
            ],
            picture=curves(document),
        )
    )


def curves(document: Document) -> str:
    """Accuracy over what it took."""
    rounds = document["rounds"]
    accuracy = [document["accuracy_before"], *(one["accuracy"] for one in rounds)]
    axes_of: dict[str, list[float]] = {
        "rounds": [float(place) for place in range(len(rounds) + 1)],
        "MB up": _running(one["bytes_up"] / 1e6 for one in rounds),
    }
    if rounds and rounds[0]["seconds"] is not None:
        axes_of["hours"] = _running(one["seconds"] / 3600 for one in rounds)
        axes_of["joules"] = _running(one["joules"] for one in rounds)
    known = [place for place, value in enumerate(accuracy) if value is not None]
    values = [100 * accuracy[place] for place in known]
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, 2.9 * (len(axes_of) // 2)))
        for place, (label, over) in enumerate(axes_of.items(), start=1):
            axes = figure.add_subplot(len(axes_of) // 2, 2, place)
            axes.plot([over[i] for i in known], values, color=svg.ACCENT)
            axes.yaxis.set_major_formatter(PERCENT)
            axes.grid(axis="y")
            axes.spines["left"].set_visible(False)
            axes.set_xlabel(label)
        figure.tight_layout()
        ends = f"{values[0]:.1f} to {values[-1]:.1f} %" if values else "not measured"
        return svg.to_svg(figure, "curves", f"Accuracy over {', '.join(axes_of)}: {ends}.")


def _running(values: Any) -> list[float]:
    return [0.0, *accumulate(values)]


def comparison(first: Document, second: Document) -> tuple[dict[str, Any], Table]:
    """Two runs side by side, also at the accuracy that both reach.

    Args:
        first: A run's or a simulation's result.
        second: Another's.

    Returns:
        The figures by name, a list of two for each, and the same as a table.
    """
    both = (first, second)
    reached = [_best(one) for one in both]
    common = None if None in reached else min(value for value in reached if value is not None)
    figures: dict[str, list[Any]] = {
        "run": [one["run_id"] for one in both],
        "fleet": [one["fleet"] for one in both],
        "model": [one["model_digest"][:16] for one in both],
        "rounds": [len(one["rounds"]) for one in both],
        "accuracy before": [one["accuracy_before"] for one in both],
        "accuracy after": [one["accuracy_after"] for one in both],
        "MB up": [_sum(one, "bytes_up", 1e6) for one in both],
        "MB down": [_sum(one, "bytes_down", 1e6) for one in both],
        "seconds": [_sum(one, "seconds") for one in both],
        "joules": [_sum(one, "joules") for one in both],
    }
    if common is not None:
        figures["common accuracy"] = [common, common]
        ends = [_until(one, common) for one in both]
        figures["rounds to it"] = [len(one["rounds"]) for one in ends]
        figures["MB up to it"] = [_sum(one, "bytes_up", 1e6) for one in ends]
        figures["seconds to it"] = [_sum(one, "seconds") for one in ends]
        figures["joules to it"] = [_sum(one, "joules") for one in ends]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "first", "second"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, values in figures.items():
        table.add_row(name, *(_shown(name, value) for value in values))
    return {name.replace(" ", "_"): values for name, values in figures.items()}, table


def _best(document: Document) -> float | None:
    known = [one["accuracy"] for one in document["rounds"] if one["accuracy"] is not None]
    return max(known, default=None)


def _until(document: Document, accuracy: float) -> Document:
    """The run's rounds up to the first that reaches an accuracy."""
    rounds = document["rounds"]
    last = next(
        place
        for place, one in enumerate(rounds)
        if one["accuracy"] is not None and one["accuracy"] >= accuracy
    )
    return {"rounds": rounds[: last + 1]}


def _sum(document: Document, key: str, unit: float = 1.0) -> float | None:
    values = [one.get(key) for one in document["rounds"]]
    return None if None in values else sum(values) / unit


def _shown(name: str, value: Any) -> str:
    if value is None:
        return DASH
    if "accuracy" in name:
        return percent(value)
    return value if isinstance(value, str) else f"{value:,.6g}"
