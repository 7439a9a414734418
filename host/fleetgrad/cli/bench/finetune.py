# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench finetune`: what integers cost on real data, by data set and scheme."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from fleetgrad.errors import UsageError
from fleetgrad.report.units import count, percent

from ..ui import Ui, verb
from .corpus import DATA_VARIABLE
from .search import Cells, Found, search
from .sides import SCHEMES, Fixed, Integers, Reals, Setting, Side
from .tasks import TASKS

TARGET: Final = 0.005
WORST: Final = 0.010


@dataclass(frozen=True)
class Gap:
    """Mean difference of paired runs, one of each seed.

    Attributes:
        mean: As a share of one.
        error: Its standard error; None for one seed.
    """

    mean: float
    error: float | None

    @classmethod
    def of(cls, found: Found, reference: Found) -> Gap:
        """Test accuracy of one side minus the other's."""
        pairs = [score.test - reference.scores[seed].test for seed, score in found.scores.items()]
        mean = sum(pairs) / len(pairs)
        if len(pairs) < 2:
            return cls(mean, None)
        squares = sum((one - mean) ** 2 for one in pairs)
        return cls(mean, math.sqrt(squares / (len(pairs) - 1) / len(pairs)))

    def __str__(self) -> str:
        text = f"{100 * self.mean:+.2f}"
        return text if self.error is None else f"{text} ± {100 * self.error:.2f}"


@dataclass(frozen=True)
class Cell:
    """A task with a scheme.

    Attributes:
        task: Its name.
        scheme: Its name.
        trained: Weights and biases that train.
        before: Test accuracy before.
        reals: float32 at its best learning rate.
        integers: The device's code at its own, with activation scales that grow.
        fixed: The same with scales as exported; None where that was not asked for.
    """

    task: str
    scheme: str
    trained: int
    before: float
    reals: Found
    integers: Found
    fixed: Found | None

    @property
    def gap(self) -> Gap:
        """What integers lack."""
        return Gap.of(self.integers, self.reals)

    @property
    def fixed_gap(self) -> Gap | None:
        """What integers with scales as exported lack."""
        return None if self.fixed is None else Gap.of(self.fixed, self.reals)


@click.command()
@click.option("--data", type=click.Path(path_type=Path),
              help=f"Folder of data sets and models; by default ${DATA_VARIABLE}.")  # fmt: skip
@click.option("--only", multiple=True, type=click.Choice([task.name for task in TASKS]))
@click.option("--scheme", "schemes", multiple=True, type=click.Choice(SCHEMES))
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--cells", "folder", type=click.Path(path_type=Path),
              default=Path("build/finetune"), show_default=True,
              help="Keeps what was measured; a second call goes on from there.")  # fmt: skip
@click.option("--fixed", is_flag=True, help="Also with activation scales as exported.")
@verb
def finetune(
    ui: Ui,
    *,
    data: Path | None,
    only: tuple[str, ...],
    schemes: tuple[str, ...],
    seeds: int,
    folder: Path,
    fixed: bool,
) -> None:
    """Fine-tunes on four data sets, integers and float32 each at its own best learning rate.

    One device has all training samples; batch 1. Learning rates are chosen on validation samples.
    """
    if data is None:
        if DATA_VARIABLE not in os.environ:
            raise UsageError("no data sets", hint=f"--data DIR, or set {DATA_VARIABLE}")
        data = Path(os.environ[DATA_VARIABLE])
    tasks = [task for task in TASKS if not only or task.name in only]
    chosen = schemes or SCHEMES
    cells: list[Cell] = []
    with ui.progress("cells", len(tasks) * len(chosen)) as advance:
        for task in tasks:
            splits = task.read(data)
            for scheme in chosen:
                setting = Setting(task, splits, scheme, task.model(data))
                cells.append(measure(ui, setting, range(1, seeds + 1), folder, fixed=fixed))
                advance(len(cells), f"{task.name} {scheme}")
    met = all(cell.gap.mean >= -TARGET for cell in cells)
    bearable = all(cell.gap.mean >= -WORST for cell in cells)
    verdict = Text(
        f"within 0.5 points of float32 on each: {'met' if met else 'missed'};"
        f" none worse than 1.0: {'met' if bearable else 'missed'}"
    )
    document = {"cells": [document_of(cell) for cell in cells], "met": met, "bearable": bearable}
    shown = [table_of(cells)]
    if {"sparse", "last-layer"} <= set(chosen):
        shown.append(gain_table(cells))
    ui.result(document, *shown, verdict)


def measure(ui: Ui, setting: Setting, seeds: range, folder: Path, *, fixed: bool) -> Cell:
    """All sides of a cell."""

    def measured(side: Side) -> Found:
        path = folder / f"{setting.task.name}-{setting.scheme}-{side.name}.json"

        def tell(line: str) -> None:
            ui.detail(f"{setting.task.name}, {setting.scheme}, {side.name}, {line}")

        return search(Cells(path, setting.digest, side), seeds, tell)

    return Cell(
        setting.task.name,
        setting.scheme,
        setting.trained,
        setting.before().test,
        measured(Reals(setting)),
        measured(Integers(setting)),
        measured(Fixed(setting)) if fixed else None,
    )


def document_of(cell: Cell) -> dict[str, Any]:
    """A cell as --json shows it."""
    fixed = None if cell.fixed_gap is None else asdict(cell.fixed_gap)
    return asdict(cell) | {"gap": asdict(cell.gap), "fixed_gap": fixed}


def table_of(cells: list[Cell]) -> Table:
    """A line for each cell."""
    seeds = len(cells[0].reals.scores) if cells else 0
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title=f"Test accuracy, mean of {seeds} seeds; @ learning rate; gaps in points",
                  title_style="bold")  # fmt: skip
    for heading in ("data", "scheme"):
        table.add_column(heading)
    with_fixed = any(cell.fixed is not None for cell in cells)
    for heading in ("trained", "before", "float32", "integers", "gap"):
        table.add_column(heading, justify="right")
    for heading in ("scales as exported", "gap") if with_fixed else ():
        table.add_column(heading, justify="right")
    for cell in cells:
        table.add_row(
            cell.task,
            cell.scheme,
            count(cell.trained),
            percent(cell.before),
            *(at_rate(side) for side in (cell.reals, cell.integers)),
            str(cell.gap),
            *(() if cell.fixed is None else (at_rate(cell.fixed), str(cell.fixed_gap))),
        )
    return table


def at_rate(found: Found) -> str:
    """Mean accuracy and learning rate."""
    return f"{percent(found.mean)} @ {found.rate:g}"


def gain_table(cells: list[Cell]) -> Table:
    """What training more than the last layer brings, in integers."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title="\nSparse against the last layer", title_style="bold")  # fmt: skip
    table.add_column("data")
    for heading in ("last layer", "trained", "sparse", "trained", "gain in points"):
        table.add_column(heading, justify="right")
    by_name = {(cell.task, cell.scheme): cell for cell in cells}
    for task in dict.fromkeys(cell.task for cell in cells):
        last, sparse = by_name[task, "last-layer"], by_name[task, "sparse"]
        table.add_row(
            task,
            percent(last.integers.mean),
            count(last.trained),
            percent(sparse.integers.mean),
            count(sparse.trained),
            str(Gap.of(sparse.integers, last.integers)),
        )
    return table
