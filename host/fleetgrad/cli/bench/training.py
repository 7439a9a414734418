# SPDX-License-Identifier: Apache-2.0
"""What a training step costs on an emulated board: instructions, per MAC, and memory."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from fleetgrad import paths
from fleetgrad.boards import Board
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad_codegen.bundle import Bundle, Scheme, generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Sparse
from fleetgrad_codegen.scheme.file import read_scheme

from ..files import read_bytes
from .corpus import DATA_VARIABLE

SEED: Final = 1
HEAD_STEPS: Final = 64
DEEP_STEPS: Final = 8
HEAD_TARGET: Final = 12_000
MLP_TARGET: Final = 40_000
MLP_RAM_TARGET: Final = 8 * 1024
SPARSE_TARGET: Final = 2.0
SPARSE_MODEL: Final = "mcunet_vww"
# Learning rate 2^(exponent - 1).
HEAD_RATE: Final = -5
DEEP_RATE: Final = -9


@dataclass(frozen=True)
class TrainingRow:
    """One training.

    Attributes:
        name: Of it.
        first: Instructions of the first step, which takes two passes where it learns how large
            errors are.
        mean: Of the others: forward pass, loss, errors, update.
        most: The dearest of them.
        macs: Multiply-accumulates of a step.
        arena_bytes: For training.
        lower_bound_bytes: What no plan of the arena can go below.
        inference_arena_bytes: For the same network without training.
        parameter_bytes: What trains, with its int8 shadow.
        stack_bytes: The most that was seen.
        skipped: Why it did not run; empty when it did.
    """

    name: str
    first: int = 0
    mean: int = 0
    most: int = 0
    macs: int = 0
    arena_bytes: int = 0
    lower_bound_bytes: int = 0
    inference_arena_bytes: int = 0
    parameter_bytes: int = 0
    stack_bytes: int = 0
    skipped: str = ""

    @property
    def ram_bytes(self) -> int:
        """Arena, parameters and their shadow."""
        return self.arena_bytes + self.parameter_bytes


@dataclass(frozen=True)
class _Run:
    name: str
    model: bytes
    scheme: Scheme
    inputs: npt.NDArray[np.int8]
    labels: npt.NDArray[np.uint32]
    exponent: int
    from_zero: bool = False


def training_rows(board: Board) -> Iterator[TrainingRow]:
    """Every row, one after the other.

    Args:
        board: An emulated one.
    """
    for run in _small_runs():
        yield _measure(board, run)
    folder = os.environ.get(DATA_VARIABLE)
    path = None if folder is None else Path(folder, "models", f"{SPARSE_MODEL}.tflite")
    name = f"{SPARSE_MODEL}, sparse"
    if path is None or not path.is_file():
        reason = f"{DATA_VARIABLE} is not set" if path is None else f"there is no {path.name} in it"
        yield TrainingRow(name, skipped=f"{reason}: it names the folder of models")
        return
    model = read_bytes(path, "model")
    shape = read_model(model, SPARSE_MODEL)
    size = shape.tensors[shape.inputs[0]].size
    source = paths.home() / "tools" / "bench" / "mcunet_sparse.toml"
    scheme = read_scheme(source.read_text(encoding="utf-8"), source.name)
    yield _measure(
        board,
        _random_run(name, model, scheme, size, classes=2, exponent=DEEP_RATE, steps=DEEP_STEPS),
    )


def _small_runs() -> Iterator[_Run]:
    folder = paths.home() / "tools" / "bench"
    head = read_bytes(folder / "head_64x10.tflite", "head")
    small = {"classes": 10, "exponent": HEAD_RATE, "steps": HEAD_STEPS}
    yield _random_run("head 64-10", head, LastLayer(), 64, **small)
    # Weights of zero make all classes alike: in the first step every output has a gradient.
    dense = _random_run("head 64-10, dense", head, LastLayer(), 64, **small)
    inputs = np.maximum(dense.inputs, np.int8(-127))  # none at the zero point
    yield _Run(dense.name, head, dense.scheme, inputs, dense.labels, HEAD_RATE, from_zero=True)
    mlp = read_bytes(folder / "mlp_64_32_10.tflite", "perceptron")
    yield _random_run(
        "MLP 64-32-10", mlp, Full(), 64, classes=10, exponent=DEEP_RATE, steps=HEAD_STEPS
    )
    digits = paths.home() / "examples" / "digits"
    model = read_bytes(digits / "digits.tflite", "digits")
    with np.load(digits / "digits.npz", allow_pickle=False) as data:
        x = data["x"][:DEEP_STEPS].reshape(DEEP_STEPS, -1)
        y = data["y"][:DEEP_STEPS].astype(np.uint32)
    schemes: dict[str, Scheme] = {
        "last-layer": LastLayer(),
        "bias": Bias(),
        "sparse": Sparse(),
        "full": Full(),
    }
    for name, scheme in schemes.items():
        yield _Run(f"digits, {name}", model, scheme, x, y, DEEP_RATE)


def _random_run(
    name: str, model: bytes, scheme: Scheme, size: int, *, classes: int, exponent: int, steps: int
) -> _Run:
    """Samples over the whole range of the input, random labels."""
    rng = np.random.default_rng(SEED)
    inputs = rng.integers(-128, 127, (steps, size), np.int8, endpoint=True)
    return _Run(name, model, scheme, inputs, rng.integers(0, classes, steps, np.uint32), exponent)


def _measure(board: Board, run: _Run) -> TrainingRow:
    name = run.name.split(",", maxsplit=1)[0]
    bundle = generate(run.model, name, scheme=run.scheme, loss=Loss.SOFTMAX_CROSS_ENTROPY)
    job = TrainingJob(
        len(run.inputs), 1, lr_mantissa=1 << 14, lr_exponent=run.exponent, round_key=SEED
    )
    params = bytes(len(bundle.files["params.bin"])) if run.from_zero else b""
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
        bundle.write(Path(folder, "bundle"))
        image = build_image(Path(folder, "bundle"), board, "bench", Path(folder, "image"))
        result = bench_training(board, image, run.inputs, run.labels, job, params=params)
    first, *others = result.instructions
    memory, layout = bundle.memory, bundle.memory.layout
    return TrainingRow(
        name=run.name,
        first=first,
        mean=math.ceil(sum(others) / len(others)),
        most=max(others),
        macs=_macs(bundle),
        arena_bytes=layout.arena_bytes,
        lower_bound_bytes=layout.lower_bound_bytes,
        inference_arena_bytes=generate(run.model, name).memory.layout.arena_bytes,
        parameter_bytes=memory.param_bytes + memory.shadow_bytes,
        stack_bytes=result.stack_bytes,
    )


def _macs(bundle: Bundle) -> int:
    """Forward, errors and gradients."""
    graph, training = bundle.program.graph, bundle.program.training
    assert training is not None
    return sum(REGISTRY[op.kind].macs(graph, op) for op in graph.ops) + training.backward_macs


def verdicts(rows: list[TrainingRow]) -> str:
    """Figures that have a target, each beside it."""
    by_name = {row.name: row for row in rows}
    dense, mlp = by_name["head 64-10, dense"], by_name["MLP 64-32-10"]
    sparse = by_name[f"{SPARSE_MODEL}, sparse"]
    worst = max(dense.first, dense.most, by_name["head 64-10"].most)
    lines = [
        f"head step, 64 in, 10 out: {by_name['head 64-10'].mean:,} instructions, {worst:,} at worst"
        + _beside(HEAD_TARGET, good=worst <= HEAD_TARGET),
        f"MLP step, 64-32-10: {mlp.mean:,} instructions, at most {mlp.most:,}"
        + _beside(MLP_TARGET, good=mlp.most <= MLP_TARGET),
        f"MLP training: {mlp.ram_bytes:,} B of RAM"
        + _beside(MLP_RAM_TARGET, good=mlp.ram_bytes <= MLP_RAM_TARGET),
    ]
    if not sparse.skipped:
        per_mac = sparse.mean / sparse.macs
        lines.append(
            f"sparse step of {SPARSE_MODEL}: {per_mac:.2f} instructions per MAC"
            + _beside(SPARSE_TARGET, good=per_mac <= SPARSE_TARGET)
        )
    return "\n".join(lines)


def _beside(target: float, *, good: bool) -> str:
    return f" (target {target:,}: {'met' if good else 'missed'})"


def document_of(row: TrainingRow) -> dict[str, Any]:
    """A row as JSON."""
    if row.skipped:
        return {"name": row.name, "skipped": row.skipped}
    fields = ("name", "first", "mean", "most", "macs", "arena_bytes", "lower_bound_bytes",
              "inference_arena_bytes", "parameter_bytes", "ram_bytes", "stack_bytes")  # fmt: skip
    return {field: getattr(row, field) for field in fields}


def training_table(rows: list[TrainingRow]) -> Table:
    """A training per line."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="Training steps",
                  title_justify="left", title_style="bold")  # fmt: skip
    table.add_column("training", no_wrap=True)
    for heading in ("instructions", "most", "first", "MACs", "per MAC", "arena", "bound",
                    "inference", "trained"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.skipped:
            table.add_row(row.name, Text(row.skipped, style="dim"))
            continue
        table.add_row(
            row.name,
            f"{row.mean:,}",
            f"{row.most:,}",
            f"{row.first:,}",
            f"{row.macs:,}",
            f"{row.mean / row.macs:.2f}",
            f"{row.arena_bytes:,}",
            f"{row.lower_bound_bytes:,}",
            f"{row.inference_arena_bytes:,}",
            f"{row.parameter_bytes:,}",
        )
    return table
