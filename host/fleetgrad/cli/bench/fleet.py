# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench fleet`: how fast a virtual fleet is, what it takes, and what its clock tells."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
from matplotlib.figure import Figure
from rich.table import Table

from fleetgrad import paths
from fleetgrad.errors import ToolError
from fleetgrad.report import svg
from fleetgrad.report.charts import WIDTH_IN
from fleetgrad.report.html import style_sheet
from fleetgrad.report.simulation import comparison

from ..files import write_text
from ..ui import Ui, verb

SPEED_TARGET: Final = 200_000
MEMORY_TARGET: Final = 1_500_000_000
FLEETS: Final = (1_000, 10_000, 100_000, 1_000_000)
CUTS: Final = (1, 2, 8)

HEAD: Final = """\
[model]
path = "{model}"
[train]
learning_rate = 0.01
seed = 1
[simulate]
data = "drawn"
samples = 32
"""

# Small solar nodes behind slow links: two kinds of boards, one four times slower and five times as
# costly per instruction, batteries that last for some tens of rounds.
CLOCK: Final = (
    "simulate.clock=true", "simulate.battery_j=0.03", "simulate.charge_mw=0.002",
    "simulate.deadline_s=1.5", "simulate.kbit_s=40", "rounds.fraction=0.02",
    'simulate.boards=["mps2_an386:1:64:0.16", "mps2_an386:1:16:0.8"]',
)  # fmt: skip


@click.command()
@click.option("--devices", type=click.IntRange(1000), default=FLEETS[-1], show_default=True)
@click.option("--html", "page", type=click.Path(path_type=Path), help="Gets the memory's growth.")
@verb
def fleet(ui: Ui, *, devices: int, page: Path | None) -> None:
    """Speed, memory, shards and selection of virtual fleets; each simulation in a new process.

    The model is a head of 64 inputs and 10 outputs; every device trains one epoch on 32 samples.
    """
    sizes = [count for count in FLEETS if count < devices] + [devices]
    with TemporaryDirectory(prefix="fleetgrad-") as folder:
        bench = _Bench(ui, Path(folder))
        growth = {
            "drawn": {count: bench.run(count) for count in sizes},
            "dealt": {count: bench.dealt(count) for count in sizes},
        }
        cuts = {f"local, {cut}": bench.run(20_000, options=("--shards", str(cut))) for cut in CUTS}
        if importlib.util.find_spec("ray") is None:
            ui.note("Ray is not installed: its shards are left out (pip install 'fleetgrad[ray]')")
        else:
            options = ("--engine", "ray", "--workers", "2")
            cuts |= {
                f"ray, {cut}": bench.run(20_000, options=(*options, "--shards", str(cut)))
                for cut in CUTS
            }
        ways = {
            way: bench.run(20_000, *CLOCK, f"simulate.selection={way}", "rounds.count=25")
            for way in ("uniform", "thrifty")
        }
    compared, selection = comparison(ways["uniform"], ways["thrifty"])
    largest = growth["drawn"][devices]
    document = {
        "device_rounds_per_second": largest["device_rounds_per_second"],
        "device_rounds_per_processor_second": _per_processor(largest),
        "peak_rss_bytes": {
            kind: {str(count): one["peak_rss_bytes"] for count, one in runs.items()}
            for kind, runs in growth.items()
        },
        "model_digests": {name: one["model_digest"] for name, one in cuts.items()},
        "one_model": len({one["model_digest"] for one in cuts.values()}) == 1,
        "selection": compared,
    }
    if page is not None:
        write_text(page, _page(growth))
    ui.result(document, _table(growth), "", _cut_table(cuts), "", selection)
    if not document["one_model"]:
        ui.refuse(ToolError("the model depends on how the work was cut up"))


class _Bench:
    """Runs simulations, each in a process of its own: a peak of memory is a process's."""

    def __init__(self, ui: Ui, folder: Path) -> None:
        self._ui = ui
        self._folder = folder
        model = paths.firmware().parent / "tools" / "bench" / "head_64x10.tflite"
        (folder / "head.toml").write_text(HEAD.format(model=model), encoding="utf-8")

    def run(self, devices: int, *settings: str, options: Sequence[str] = ()) -> dict[str, Any]:
        """One simulation's result."""
        return self._run(
            self._folder / "head.toml", devices, ("rounds.count=2", *settings), options
        )

    def dealt(self, devices: int) -> dict[str, Any]:
        """The digits, dealt to so many devices: 32 places in the data set each; one step alone."""
        config = paths.firmware().parent / "examples" / "digits" / "fleetgrad.toml"
        settings = (
            "rounds.count=1", "train.max_steps=1", "ranges.grow=off", "simulate.data=dirichlet",
        )  # fmt: skip
        return self._run(config, devices, settings, ())

    def _run(
        self, config: Path, devices: int, settings: Sequence[str], options: Sequence[str]
    ) -> dict[str, Any]:
        self._ui.note(f"{devices:,} devices: {' '.join((*settings, *options))}")
        command = [
            sys.executable, "-m", "fleetgrad", "simulate", "--json", "-q", "--config", str(config),
            "--devices", str(devices), *options, "--set", f"run.dir={self._folder / 'runs'}",
        ]  # fmt: skip
        for setting in settings:
            command += ["--set", setting]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"a simulation failed: {done.stderr.strip()}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def _per_processor(one: dict[str, Any]) -> float:
    return round(float(one["device_rounds"]) / max(float(one["processor_seconds"]), 1e-9), 1)


def _table(growth: dict[str, dict[int, dict[str, Any]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("samples", "devices", "per second", "per processor second", "peak memory"):
        table.add_column(heading, justify="left" if heading == "samples" else "right")
    for kind, runs in growth.items():
        for count, one in runs.items():
            table.add_row(
                kind,
                f"{count:,}",
                f"{one['device_rounds_per_second']:,.0f}",
                f"{_per_processor(one):,.0f}",
                f"{one['peak_rss_bytes'] / 1e6:,.0f} MB",
            )
    table.add_section()
    table.add_row(
        "target", "", f">= {SPEED_TARGET:,} on two", "", f"<= {MEMORY_TARGET / 1e6:,.0f} MB"
    )
    return table


def _cut_table(cuts: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("engine, shards", "model"):
        table.add_column(heading)
    for name, one in cuts.items():
        table.add_row(name, one["model_digest"][:32])
    return table


def _page(growth: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Memory over devices, as one picture."""
    with svg.style():
        figure = Figure(figsize=(WIDTH_IN, 3.2))
        axes = figure.add_axes((0.1, 0.16, 0.87, 0.8))
        for (kind, runs), colour in zip(growth.items(), (svg.ACCENT, svg.REFERENCE), strict=True):
            places = list(runs)
            sizes = [one["peak_rss_bytes"] / 1e6 for one in runs.values()]
            axes.plot(places, sizes, "o-", color=colour, label=f"{kind} samples")
        axes.axhline(MEMORY_TARGET / 1e6, color=svg.MUTED, linestyle=(0, (4, 2.5)), linewidth=1)
        axes.set_xscale("log")
        axes.set_ylim(0, None)
        axes.set_xlabel("devices")
        axes.set_ylabel("peak memory, MB")
        axes.legend(frameon=False)
        words = "; ".join(
            f"{kind}: {max(runs):,} devices {runs[max(runs)]['peak_rss_bytes'] / 1e6:,.0f} MB"
            for kind, runs in growth.items()
        )
        picture = svg.to_svg(figure, "memory", f"Peak memory by number of devices. {words}.")
    head = f"<title>Virtual fleets</title>\n<style>\n{style_sheet()}</style>"
    return f"<!doctype html>\n<meta charset=utf-8>\n{head}\n<main>\n{picture}\n</main>\n"
