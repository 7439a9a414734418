# SPDX-License-Identifier: Apache-2.0
"""The pictures of a report, each a pure function of the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fleetgrad.results import DeviceReport, RoundReport

from . import svg
from .result import Memory, MemoryBlock, Reference

WIDTH_IN: Final = 8.6
PERCENT: Final = FuncFormatter(lambda value, _: f"{value:.0f} %")


def learning_curve(accuracy: Sequence[float | None], reference: Reference | None) -> str:
    """Accuracy over the rounds, the float32 run beside it.

    Args:
        accuracy: Per version, the starting one first; None where a round did not evaluate.
        reference: The comparison, or None.
    """
    known = [(i, 100 * value) for i, value in enumerate(accuracy) if value is not None]
    lines = [([i for i, _ in known], [value for _, value in known], svg.ACCENT, "fleet, int8")]
    if reference is not None:
        values = [100 * value for value in reference.accuracy]
        lines.insert(0, (list(range(len(values))), values, svg.REFERENCE, "float32 FedAvg"))
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, 3.5))
        axes = figure.add_axes((0.06, 0.13, 0.78, 0.83))
        for rounds, values, colour, _ in lines:
            dashed = colour == svg.REFERENCE
            axes.plot(
                rounds,
                values,
                color=colour,
                linestyle=(0, (4, 2.5)) if dashed else "-",
                linewidth=1.6 if dashed else 2.6,
            )
        axes.plot(*([value] for value in known[-1]), "o", color=svg.ACCENT, markersize=6)
        axes.set_xlim(0, max(len(accuracy) - 1, 1))
        low = min(value for _, values, _, _ in lines for value in values)
        axes.set_ylim(max(0.0, 10 * (low // 10) - 1), 101)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("rounds done")
        _label_ends(axes, [(values[-1], colour, name) for _, values, colour, name in lines])
        start, end = known[0][1], known[-1][1]
        words = f"Accuracy on all held-out samples: {start:.1f} % before, {end:.1f} % after."
        if reference is not None:
            words += f" float32 FedAvg ends at {100 * reference.accuracy[-1]:.1f} %."
        return svg.to_svg(figure, "curve", words)


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names each line at its right end, pushing the names apart where the lines meet."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.17
    place = high
    for value, colour, name in sorted(ends, key=lambda end: (-end[0], end[2])):
        place = min(value, place - gap) if place != high else value
        axes.annotate(
            f"{name}\n{value:.1f} %",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(12, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontweight="bold",
            linespacing=1.35,
            annotation_clip=False,
        )


def device_bars(devices: Sequence[DeviceReport]) -> str:
    """Each device's accuracy on its own held-out samples, before and after.

    Names stand above their bars, so that none is too long.
    """
    height = 0.55 * len(devices) + 0.4
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, height))
        axes = figure.add_axes((0.03, 0.34 / height, 0.87, 1 - 0.38 / height))
        after = [100 * (device.accuracy_after or 0.0) for device in devices]
        before = [100 * (device.accuracy_before or 0.0) for device in devices]
        rows = range(len(devices))
        axes.barh([row + 0.03 for row in rows], after, height=0.26, color=svg.ACCENT)
        axes.barh([row + 0.25 for row in rows], before, height=0.13, color=svg.BEFORE)
        for row, device in enumerate(devices):
            axes.annotate(
                device.name, (0, row - 0.17), xytext=(0, 1), textcoords="offset points",
                va="bottom", color=svg.INK,
            )  # fmt: skip
            axes.annotate(
                f"{after[row]:.1f} %", (after[row], row + 0.03), xytext=(6, 0),
                textcoords="offset points", va="center", color=svg.ACCENT, fontweight="bold",
            )  # fmt: skip
            axes.annotate(
                f"{before[row]:.1f} %", (before[row], row + 0.26), xytext=(6, 0),
                textcoords="offset points", va="center", color=svg.MUTED, fontsize=8,
            )  # fmt: skip
        axes.set_yticks([])
        axes.set_ylim(len(devices) - 0.6, -0.5)
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.grid(axis="x")
        axes.spines["bottom"].set_visible(False)
        words = "Accuracy per device, before and after: " + "; ".join(
            f"{device.name} {old:.1f} to {new:.1f} %"
            for device, old, new in zip(devices, before, after, strict=True)
        )
        return svg.to_svg(figure, "devices", words)


def traffic(rounds: Sequence[RoundReport]) -> str:
    """Bytes that crossed the links in each round, all devices together."""
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, 2.5))
        axes = figure.add_axes((0.07, 0.18, 0.91, 0.76))
        places = [entry.round for entry in rounds]
        down = [entry.bytes_down / 1000 for entry in rounds]
        up = [entry.bytes_up / 1000 for entry in rounds]
        axes.bar([place - 0.2 for place in places], down, 0.36, color=svg.ACCENT_SOFT)
        axes.bar([place + 0.2 for place in places], up, 0.36, color=svg.ACCENT)
        axes.set_xlim(min(places) - 0.7, max(places) + 0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} kB"))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("round")
        words = (
            f"Bytes per round over all devices: about {down[-1]:.1f} kB down, {up[-1]:.1f} kB up."
        )
        return svg.to_svg(figure, "traffic", words)


def memory_map(memory: Memory) -> str:
    """The arena as a picture: steps from left to right, addresses upwards, one box per tensor."""
    count = max(len(memory.steps), 1)
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, 4.2))
        axes = figure.add_axes((0.085, 0.26, 0.9, 0.69))
        for block in memory.timeline:
            _draw_block(axes, block, memory.arena_bytes, count)
        axes.axhline(
            memory.lower_bound_bytes,
            color=svg.REFERENCE,
            linewidth=1.2,
            linestyle=(0, (4, 2.5)),
            zorder=0.5,
        )
        axes.set_xlim(0, count)
        axes.set_ylim(0, max(memory.arena_bytes, memory.lower_bound_bytes) * 1.06)
        axes.set_xticks(
            [i + 0.5 for i in range(count)],
            list(memory.steps),
            rotation=38,
            ha="right",
            rotation_mode="anchor",
            fontsize=8.5,
        )
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} B"))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.grid(axis="y")
        words = (
            f"Arena of {memory.arena_bytes} bytes over {count} steps, {len(memory.timeline)}"
            f" tensors; no plan needs less than {memory.lower_bound_bytes} bytes."
        )
        return svg.to_svg(figure, "memory", words)


def _draw_block(axes: Axes, block: MemoryBlock, arena: int, steps: int) -> None:
    kinds = (svg.KIND_A, svg.KIND_B, svg.KIND_C)
    colour = kinds[(block.first + block.offset) % len(kinds)]
    width = block.last - block.first + 1
    axes.add_patch(
        Rectangle(
            (block.first + 0.04, block.offset),
            width - 0.08,
            block.size,
            facecolor=colour,
            edgecolor=svg.SURFACE,
            linewidth=1.2 if block.size > arena * 0.02 else 0,
        )
    )
    text = _label(block, arena, characters=int(width / steps * 118))
    if text:
        axes.text(
            block.first + width / 2,
            block.offset + block.size / 2,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color=svg.INK,
            linespacing=1.4,
        )


def _label(block: MemoryBlock, arena: int, *, characters: int) -> str:
    """The most that fits into a block: name over size, both in a line, size, or nothing."""
    if block.size < arena * 0.045:
        return ""
    # Converters write model/layer/Operation;other/names: the layer says most.
    parts = block.name.split(";")[0].split("/")
    name, size = parts[-2] if len(parts) > 1 else parts[-1], f"{block.size:,} B"
    if len(name) <= characters and block.size > arena * 0.12:
        return f"{name}\n{size}"
    for text in (f"{name}  {size}", size):
        if len(text) <= characters:
            return text
    return ""
