# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench kernels`: are all backends the same to the bit, and what do they cost?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from fleetgrad.errors import FleetgradError, ToolError
from fleetgrad_codegen.ops import REGISTRY

from ..backends import NATIVE, REFERENCE, Model, emulated_board, open_backend
from ..oracles import run_litert, run_tflm
from ..ui import Ui, verb
from .corpus import Refused, models_option, read_corpus
from .training import document_of, training_rows, training_table, verdicts

SEED: Final = 1


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: Its name.
        macs: Multiply-accumulates of an inference.
        golden: Golden samples.
        random: Random samples.
        oracle: Who the outputs are compared with: golden files, LiteRT, TFLite Micro.
        values: Output values compared per backend.
        mismatches: By backend: output values that differ from the oracle's; None: did not run.
        failures: By backend that did not run: why not.
        instructions: Of an inference on the board, mean; None where it did not run.
    """

    model: str
    macs: int
    golden: int
    random: int
    oracle: str
    values: int
    mismatches: dict[str, int | None]
    failures: dict[str, str]
    instructions: int | None


@click.command()
@models_option
@click.option("--board", "board_id", default="mps2_an386", show_default=True)
@click.option("--random", "count", type=click.IntRange(0), default=64, show_default=True)
@verb
def kernels(ui: Ui, models: Path | None, board_id: str, count: int) -> None:
    """Compares reference, native C and an emulated board with TFLite's reference kernels."""
    usable, refused = read_corpus(models)
    backends = (REFERENCE, NATIVE, board_id)
    rows = []
    with ui.progress("models", len(usable)) as advance:
        for done, (path, model) in enumerate(usable):
            advance(done, model.name)
            rows.append(compare(path, model, backends, count))
        advance(len(usable))
    trainings = list(training_rows(emulated_board(board_id)))
    failed = [f"{row.model} on {one}: {why}" for row in rows for one, why in row.failures.items()]
    wrong = sum(value or 0 for row in rows for value in row.mismatches.values())
    document: dict[str, Any] = {
        "board": board_id,
        "models": [asdict(row) for row in rows],
        "refused": [asdict(one) for one in refused],
        "mismatches": wrong,
        "trainings": [document_of(row) for row in trainings],
    }
    summary = Text(
        "".join(f"did not run: {line}\n" for line in failed) + f"{verdicts(trainings)}\n"
        f"mismatches in all: {wrong} (target 0: {'missed' if wrong or failed else 'met'})"
    )
    ui.result(
        document,
        table_of(rows, backends),
        refused_table(refused),
        training_table(trainings),
        summary,
    )


def samples_of(path: Path, model: Model, count: int) -> tuple[npt.NDArray[Any], int]:
    """Golden samples where there are any, then random ones over the input's full range.

    Returns:
        All samples, and how many of them are golden.
    """
    tensor = model.whole.tensors[model.whole.inputs[0]]
    golden = path.parent / "golden" / f"{path.stem}.npz"
    parts = []
    if golden.exists():
        with np.load(golden) as archive:
            parts.append(archive["x"])
    rng = np.random.default_rng(SEED)
    shape = (count, *tensor.shape[1:])
    if tensor.dtype.numpy.kind == "f":
        scale = 1.0 if not parts else float(np.std(parts[0]))
        parts.append((scale * rng.standard_normal(shape)).astype(np.float32))
    else:
        low, high = np.iinfo(tensor.dtype.numpy).min, np.iinfo(tensor.dtype.numpy).max
        parts.append(rng.integers(low, high, shape, tensor.dtype.numpy, endpoint=True))
    return np.concatenate(parts), len(parts[0]) if golden.exists() else 0


def oracle_outputs(model: Model, samples: npt.NDArray[Any]) -> tuple[str, npt.NDArray[Any]]:
    """What other people's interpreters make of the samples, and whose answer it is."""
    try:
        return "LiteRT", run_litert(model.content, samples)
    except ToolError:
        return "TFLite Micro", run_tflm(model.content, samples)


def compare(path: Path, model: Model, backends: tuple[str, ...], count: int) -> Row:
    """Runs one model everywhere."""
    samples, golden = samples_of(path, model, count)
    oracle, wanted = oracle_outputs(model, samples)
    if golden:
        with np.load(path.parent / "golden" / f"{path.stem}.npz") as archive:
            wanted[:golden] = archive["y0"].reshape(wanted[:golden].shape)
        oracle = f"golden, {oracle}"
    inputs = model.enter(samples)
    mismatches: dict[str, int | None] = {}
    failures: dict[str, str] = {}
    instructions = None
    for backend in backends:
        try:
            with open_backend(backend, model) as forward:
                made = forward(inputs, lambda _: None)
        except FleetgradError as error:
            mismatches[backend] = None
            failures[backend] = error.what
            continue
        found = model.leave(made.values).reshape(wanted.shape)
        mismatches[backend] = int((found != wanted).sum())
        if made.instructions is not None:
            instructions = round(sum(made.instructions) / len(made.instructions))
    macs = sum(REGISTRY[op.kind].macs(model.device, op) for op in model.device.ops)
    random = len(samples) - golden
    return Row(
        model.name, macs, golden, random, oracle, wanted.size, mismatches, failures, instructions
    )


def table_of(rows: list[Row], backends: tuple[str, ...]) -> Table:
    """Mismatches and cost, a model per line."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="Output values that differ",
                  title_justify="left", title_style="bold")  # fmt: skip
    table.add_column("model", no_wrap=True)
    table.add_column("compared with", no_wrap=True)
    for heading in ("samples", *backends, "instructions", "per MAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        found = [row.mismatches[backend] for backend in backends]
        cost, per_mac = "", ""
        if row.instructions is not None:
            cost, per_mac = f"{row.instructions:,}", f"{row.instructions / max(row.macs, 1):.2f}"
        table.add_row(
            row.model,
            row.oracle,
            f"{row.golden} + {row.random}",
            *("did not run" if one is None else str(one) for one in found),
            cost,
            per_mac,
        )
    return table


def refused_table(refused: list[Refused]) -> Table:
    """Models that this version does not run."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    for one in refused:
        table.add_row(one.name, Text(one.why, style="dim"))
    return table
