# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench robust`: what every rule holds against every attack."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from fleetgrad.report.units import percent, points

from ..ui import Ui, verb
from .corpus import DATA_VARIABLE
from .hostile import DEVICES, FLEETS, SCENARIOS, SHARE, rules, run
from .small_fleet import small_fleet

TARGET: Final = 0.03
JUDGED: Final = ("sign-flip", "alie", "ipm", "min-max")
"""Attacks of which the worst decides."""

SHOWN: Final = ("none", *JUDGED, "ipm-10")
ATTACKERS: Final = int(SHARE * DEVICES)
BASELINE: Final = "fedavg"


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        fleet: Name of the fleet.
        rule: Name of the strategy.
        attack: Name of the scenario.
        seed: Of training, and of who is hostile.
        accuracy: On held-out samples after the last round.
        fooled: Of marked samples, how many are given the backdoor's class; None without a mark.
    """

    fleet: str
    rule: str
    attack: str
    seed: int
    accuracy: float
    fooled: float | None


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(FLEETS)))
@click.option("--rule", "chosen", multiple=True, type=click.Choice(list(rules(ATTACKERS))))
@click.option("--attack", "attacks", multiple=True, type=click.Choice(list(SCENARIOS)))
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--rounds", type=click.IntRange(1), help="By default the fleet's own.")
@click.option("--data", type=click.Path(path_type=Path),
              help=f"Folder of data sets; by default ${DATA_VARIABLE}.")  # fmt: skip
@verb
def robust(
    ui: Ui,
    *,
    only: tuple[str, ...],
    chosen: tuple[str, ...],
    attacks: tuple[str, ...],
    seeds: int,
    rounds: int | None,
    data: Path | None,
) -> None:
    """Trains fleets in which a fifth of the devices is hostile, with every rule.

    Hostile devices know the honest updates and send what the protocol allows.
    """
    if data is None and DATA_VARIABLE in os.environ:
        data = Path(os.environ[DATA_VARIABLE])
    known = rules(ATTACKERS)
    named = {name: known[name] for name in chosen or known}
    fleets, scenarios = only or tuple(FLEETS), attacks or SHOWN
    todo = [(r, a, s) for r in named for a in scenarios for s in range(1, seeds + 1)]
    cells: list[Cell] = []
    with ui.progress("runs", len(fleets) * len(todo)) as advance:
        for fleet in fleets:
            with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
                config = FLEETS[fleet](Path(folder), data)
                with small_fleet(config, Path(folder)) as devices:
                    for rule, attack, seed in todo:
                        advance(len(cells), f"{fleet}: {rule} against {attack}")
                        count = rounds or config.rounds.count
                        end = run(devices, named[rule], SCENARIOS[attack], count, seed)
                        cells.append(Cell(fleet, rule, attack, seed, end.accuracy, end.fooled))
        advance(len(cells))
    verdicts = [verdict_of(cells, fleet) for fleet in fleets]
    document = {
        "cells": [asdict(cell) for cell in cells],
        "best": {
            fleet: {"rule": found[0], "difference": found[1]}
            for fleet in fleets
            if (found := best(cells, fleet)) is not None
        },
    }
    ui.result(document, *(table_of(cells, fleet) for fleet in fleets), Text("\n".join(verdicts)))


def mean(cells: list[Cell], fleet: str, rule: str, attack: str, what: str = "accuracy") -> float:
    """Over the seeds."""
    found = [
        float(getattr(cell, what))
        for cell in cells
        if (cell.fleet, cell.rule, cell.attack) == (fleet, rule, attack)
    ]
    return sum(found) / len(found)


def best(cells: list[Cell], fleet: str) -> tuple[str, float] | None:
    """The rule whose worst judged attack is least bad, and that minus averaging in peace.

    None where not all of that was measured.
    """
    seen = {(cell.rule, cell.attack) for cell in cells if cell.fleet == fleet}
    complete = [r for r, _ in seen if all((r, attack) in seen for attack in JUDGED)]
    if not complete or (BASELINE, "none") not in seen:
        return None
    worst = {r: min(mean(cells, fleet, r, attack) for attack in JUDGED) for r in sorted(complete)}
    found = max(worst, key=lambda rule: worst[rule])
    return found, worst[found] - mean(cells, fleet, BASELINE, "none")


def verdict_of(cells: list[Cell], fleet: str) -> str:
    """Best rule and target, in words."""
    found = best(cells, fleet)
    if found is None:
        return f"{fleet}: not all that the target is about was measured"
    rule, difference = found
    met = "met" if difference >= -TARGET else "missed"
    return (
        f"{fleet}: best rule {rule}, at its worst attack {points(difference)} from averaging"
        f" without attackers (target: within {100 * TARGET:g} points: {met})"
    )


def table_of(cells: list[Cell], fleet: str) -> Table:
    """A rule per line, an attack per column."""
    mine = [cell for cell in cells if cell.fleet == fleet]
    attacks = list(dict.fromkeys(cell.attack for cell in mine))
    seeds = len({cell.seed for cell in mine})
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title=f"{fleet}: held-out accuracy, mean of {seeds} seeds",
                  title_style="bold")  # fmt: skip
    table.add_column("rule")
    for attack in attacks:
        table.add_column(attack, justify="right")
        if SCENARIOS[attack].mark:
            table.add_column("fooled", justify="right")
    for rule in dict.fromkeys(cell.rule for cell in mine):
        row = [rule]
        for attack in attacks:
            row.append(percent(mean(mine, fleet, rule, attack)))
            if SCENARIOS[attack].mark:
                row.append(percent(mean(mine, fleet, rule, attack, "fooled")))
        table.add_row(*row)
    return table
