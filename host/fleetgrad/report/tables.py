# SPDX-License-Identifier: Apache-2.0
"""A result as tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from fleetgrad.results import RunResult

from .result import Report
from .units import count, gain, kilobytes, number, percent, points


def _table(title: str, *headings: str) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(
        title=title,
        box=None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        pad_edge=False,
    )
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def device_table(run: RunResult) -> Table:
    """Every device: its data, its accuracy before and after, its bytes per round."""
    table = _table(
        "Devices, each on its own held-out samples",
        "device", "train", "held out", "before", "after", "gain", "up/round", "down/round",
    )  # fmt: skip
    for device in run.devices:
        if device.left_out:
            table.add_row(device.name, count(device.train_samples), count(device.eval_samples))
            continue
        rounds = max(device.rounds, 1)
        table.add_row(
            device.name,
            count(device.train_samples),
            count(device.eval_samples),
            percent(device.accuracy_before),
            percent(device.accuracy_after),
            gain(device.accuracy_before, device.accuracy_after),
            f"{device.bytes_up / rounds:,.0f} B",
            f"{device.bytes_down / rounds:,.0f} B",
        )
    table.add_section()
    table.add_row(
        "all",
        count(sum(device.train_samples for device in run.devices)),
        count(sum(device.eval_samples for device in run.devices)),
        percent(run.accuracy_before),
        percent(run.accuracy_after),
        gain(run.accuracy_before, run.accuracy_after),
        style="bold",
    )
    return table


def round_table(run: RunResult) -> Table:
    """Every round: who took part, what it brought, what it cost."""
    table = _table(
        "Rounds",
        "round", "selected", "accepted", "dropped", "loss", "accuracy", "clipped", "at limit",
        "up", "down", "seconds",
    )  # fmt: skip
    for entry in run.rounds:
        table.add_row(
            str(entry.round),
            str(len(entry.selected)),
            str(len(entry.accepted)),
            str(len(entry.dropped)),
            number(entry.loss),
            percent(entry.accuracy),
            "" if entry.clipped is None else f"{100 * entry.clipped:.2f} %",
            count(entry.saturated),
            f"{entry.bytes_up:,} B",
            f"{entry.bytes_down:,} B",
            f"{entry.seconds:.1f}",
        )
    return table


def summary_table(report: Report) -> Table:
    """The figures that decide whether it was worth it."""
    run, firmware, memory = report.run, report.firmware, report.memory
    table = _table("Result", "", "")
    table.show_header = False
    before, after = percent(run.accuracy_before), percent(run.accuracy_after)
    table.add_row("accuracy, before -> after", f"{before} -> {after}")
    if report.reference is not None:
        final = report.reference.accuracy[-1]
        gap = (
            "" if run.accuracy_after is None else f" (boards: {points(run.accuracy_after - final)})"
        )
        table.add_row(f"{report.reference.name}, same plan", percent(final) + gap)
    table.add_row(
        "uplink per trained weight, device and round", f"{number(report.uplink_per_weight)} B"
    )
    table.add_row(
        "arena / lower bound", f"{memory.arena_bytes:,} B / {memory.lower_bound_bytes:,} B"
    )
    if firmware is not None:
        flash = f"{kilobytes(firmware.flash_bytes)} of {kilobytes(firmware.flash_limit)}"
        ram = f"{kilobytes(firmware.ram_bytes)} of {kilobytes(firmware.ram_limit)}"
        table.add_row("flash", flash)
        table.add_row("  of which code, without weights", kilobytes(firmware.text_bytes))
        table.add_row("RAM, stack included", ram)
    if report.instructions_per_step is not None:
        table.add_row("instructions per training step", count(report.instructions_per_step))
        table.add_row("  per inference alone", count(report.instructions_per_inference))
    table.add_row("digest of the final model", run.model_digest[:16])
    return table
