# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench accuracy`: what integers cost, against float32 at its own best learning rate."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from fleetgrad import paths
from fleetgrad.config import Config, load
from fleetgrad.report.units import percent, points
from fleetgrad.run import execute

from ..fleets import prepare_fleet
from ..float_fleet import float_fedavg, read_devices
from ..ui import Ui, verb

RATES: Final = (0.0125, 0.025, 0.05, 0.1, 0.2)
SEEDS: Final = (1, 2, 3, 4, 5)
TARGET: Final = 0.005


@dataclass(frozen=True)
class Cell:
    """One learning rate and seed.

    Attributes:
        rate: Learning rate.
        seed: Of the run.
        before: Accuracy that both start from, as the devices measure it.
        integer: Accuracy of the fleet after the last round.
        real: The same of float32 FedAvg.
    """

    rate: float
    seed: int
    before: float
    integer: float
    real: float


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path),
              help="The plan; by default the digits example's.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
@click.option("--rate", "rates", multiple=True, type=float, help="Learning rates; several.")
@click.option("--seed", "seeds", multiple=True, type=int, help="Seeds; several.")
@verb
def accuracy(
    ui: Ui,
    *,
    config_path: Path | None,
    overrides: tuple[str, ...],
    rates: tuple[float, ...],
    seeds: tuple[int, ...],
) -> None:
    """Sweeps learning rates and seeds, integers on a virtual fleet against float32 FedAvg."""
    path = config_path or paths.home() / "examples" / "digits" / "fleetgrad.toml"
    config = load(path, overrides)
    cells = []
    todo = [(rate, seed) for rate in rates or RATES for seed in seeds or SEEDS]
    with ui.progress("runs", len(todo)) as advance:
        for done, (rate, seed) in enumerate(todo):
            advance(done, f"learning rate {rate:g}, seed {seed}")
            train = replace(config.train, learning_rate=rate, seed=seed)
            cells.append(measure(replace(config, train=train)))
        advance(len(todo))
    integer, real = best(cells, "integer"), best(cells, "real")
    gap = integer[1] - real[1]
    paired = [cell.integer - cell.real for cell in cells]
    document = {
        "cells": [asdict(cell) for cell in cells],
        "best_integer": {"rate": integer[0], "accuracy": integer[1]},
        "best_float": {"rate": real[0], "accuracy": real[1]},
        "gap": gap,
        "mean_gap_at_same_rate": sum(paired) / len(paired),
    }
    verdict = "met" if gap >= -TARGET else "missed"
    text = Text(
        f"best: integers {percent(integer[1])} at {integer[0]:g}, float32 {percent(real[1])}"
        f" at {real[0]:g}: {points(gap)} (target: within 0.5 points: {verdict})"
    )
    ui.result(document, table_of(cells), text)


def measure(config: Config) -> Cell:
    """One run of each kind."""
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
        config = replace(
            config,
            run=replace(config.run, dir=Path(folder, "run")),
            fleet=replace(config.fleet, kind="virtual"),
        )
        made, _, fleet = prepare_fleet(config, Path(folder))
        run = execute(config, made.folder, fleet)
        reference = float_fedavg(config, made.bundle, read_devices(config, made.bundle))
    assert run.accuracy_before is not None
    assert run.accuracy_after is not None
    return Cell(
        rate=config.train.learning_rate,
        seed=config.train.seed,
        before=run.accuracy_before,
        integer=run.accuracy_after,
        real=reference.accuracy[-1],
    )


def mean_at(cells: list[Cell], rate: float, kind: str) -> float:
    """Mean accuracy over the seeds of one learning rate."""
    values = [float(getattr(cell, kind)) for cell in cells if cell.rate == rate]
    return sum(values) / len(values)


def best(cells: list[Cell], kind: str) -> tuple[float, float]:
    """The learning rate with the best mean over its seeds, and that mean."""
    rates = dict.fromkeys(cell.rate for cell in cells)
    found = max(rates, key=lambda rate: mean_at(cells, rate, kind))
    return found, mean_at(cells, found, kind)


def table_of(cells: list[Cell]) -> Table:
    """A learning rate per line, means over the seeds."""
    seeds = len({cell.seed for cell in cells})
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title=f"Held-out accuracy after the last round, mean of {seeds} seeds",
                  title_style="bold")  # fmt: skip
    for heading in ("learning rate", "before", "integers", "float32", "difference"):
        table.add_column(heading, justify="right")
    for rate in dict.fromkeys(cell.rate for cell in cells):
        before, integer, real = (mean_at(cells, rate, k) for k in ("before", "integer", "real"))
        table.add_row(
            f"{rate:g}", percent(before), percent(integer), percent(real), points(integer - real)
        )
    return table
