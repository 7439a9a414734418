# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file that needs nothing else: no scripts, no fonts, no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Final

import jinja2

from . import charts
from .result import Firmware, Memory, Report
from .units import count, gain, kilobytes, millions, number, percent

STYLE: Final = resources.files("fleetgrad.report") / "style.css"


@dataclass(frozen=True)
class Tile:
    """One headline figure.

    Attributes:
        label: What is measured.
        value: The figure with its unit.
        note: What it compares with.
    """

    label: str
    value: str
    note: str = ""


def tiles_of(report: Report) -> list[Tile]:
    """The figures a reader looks for first."""
    run = report.run
    change = gain(run.accuracy_before, run.accuracy_after)
    note = f"{percent(run.accuracy_before)} before, {change}"
    tiles = [Tile("Accuracy", percent(run.accuracy_after), note)]
    if report.reference is not None:
        final = report.reference.accuracy[-1]
        note = f"int8 on the boards: {gain(final, run.accuracy_after)}"
        tiles.append(Tile(report.reference.name, percent(final), note))
    if report.uplink_per_weight is not None:
        note = "per trained weight, device and round, framing included"
        tiles.append(Tile("Uplink", f"{report.uplink_per_weight:.2f} B", note))
    if report.instructions_per_step is not None:
        alone = count(report.instructions_per_inference)
        note = f"instructions for one sample; {alone} to infer only"
        tiles.append(Tile("Training step", millions(report.instructions_per_step), note))
    if report.firmware is not None:
        firmware = report.firmware
        tiles.append(Tile("RAM", kilobytes(firmware.ram_bytes), "in all, stack included"))
        code, weights = kilobytes(firmware.text_bytes), kilobytes(firmware.weights_bytes)
        note = f"{code} code, {weights} weights"
        tiles.append(Tile("Flash", kilobytes(firmware.flash_bytes), note))
    return tiles


@dataclass(frozen=True)
class Part:
    """A share of a stacked bar.

    Attributes:
        name: What it is.
        size: Bytes.
        share: Per cent of the bar's length.
        colour: CSS variable.
    """

    name: str
    size: int
    share: float
    colour: str


@dataclass(frozen=True)
class Bar:
    """What fills one memory of the board."""

    name: str
    size: int
    parts: tuple[Part, ...]


def firmware_bars(firmware: Firmware, arena_bytes: int) -> list[Bar]:
    """Flash and RAM of an image, each split into what fills it; both to one scale."""
    arena = min(arena_bytes, firmware.bss_bytes)
    longest = max(firmware.flash_bytes, firmware.ram_bytes)

    def bar(name: str, *sizes: tuple[str, int, str]) -> Bar:
        parts = tuple(
            Part(part, size, round(100 * size / longest, 2), colour)
            for part, size, colour in sizes
            if size
        )
        return Bar(name, sum(part.size for part in parts), parts)

    return [
        bar(
            "Flash",
            ("code", firmware.text_bytes, "--accent"),
            ("weights", firmware.weights_bytes, "--kind-b"),
            ("initialised data", firmware.data_bytes, "--kind-c"),
        ),
        bar(
            "RAM",
            ("arena", arena, "--accent"),
            ("parameters, buffers, state", firmware.bss_bytes - arena, "--kind-b"),
            ("initialised data", firmware.data_bytes, "--kind-c"),
            ("stack", firmware.stack_bytes, "--before"),
        ),
    ]


def render_html(report: Report) -> str:
    """The whole report.

    Args:
        report: A finished run with its measurements.

    Returns:
        One HTML document, the same for the same report.
    """
    taking_part = [device for device in report.run.devices if not device.left_out]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            style=style_sheet(),
            report=report,
            run=report.run,
            tiles=tiles_of(report),
            bars=firmware_bars(report.firmware, report.memory.arena_bytes)
            if report.firmware
            else [],
            curve=charts.learning_curve(report.accuracy, report.reference),
            devices=charts.device_bars(taking_part),
            traffic=charts.traffic(report.run.rounds),
            memory=report.memory,
            picture=charts.memory_map(report.memory),
        )
    )


def render_plan(title: str, summary: str, tiles: list[Tile], memory: Memory) -> str:
    """A memory plan by itself.

    Args:
        title: Of the page.
        summary: One or two sentences under it.
        tiles: Headline figures.
        memory: What is drawn.

    Returns:
        One HTML document, the same for the same arguments.
    """
    return (
        environment()
        .get_template("plan.html.j2")
        .render(
            style=style_sheet(),
            title=title,
            summary=summary,
            tiles=tiles,
            memory=memory,
            picture=charts.memory_map(memory),
        )
    )


def style_sheet() -> str:
    """What every page looks like."""
    return STYLE.read_text(encoding="utf-8")


def environment() -> jinja2.Environment:
    """Where templates find each other, and how they write figures."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fleetgrad.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    filters: dict[str, Callable[..., str]] = {
        "percent": percent,
        "kilobytes": kilobytes,
        "count": count,
        "number": number,
    }
    environment.filters.update(filters)
    return environment
