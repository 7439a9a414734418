# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad inspect MODEL`: what is in a .tflite, what of it can run, and what can train."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from fleetgrad.report.units import kilobytes
from fleetgrad_codegen.inspect import Inspection, TensorInfo, inspect_model

from .files import about, read_bytes
from .ui import Ui, verb


def dimensions(shape: tuple[int, ...]) -> str:
    """1x8x8x1, as people write it."""
    return "x".join(map(str, shape)) or "scalar"


def end_line(end: str, tensor: TensorInfo) -> str:
    """One input or output."""
    text = f"{end:7} {dimensions(tensor.shape)} {tensor.dtype}"
    if tensor.scale is not None:
        text += f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}"
    return text


def table_of(model: Inspection) -> Table:
    """The operators in order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("#", "operator", "output", "MACs", "weights"):
        left = heading in {"operator", "output"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for op in model.ops:
        state = Text("trains", style="bold green") if op.trainable else Text("runs")
        if op.problem:
            state = Text(op.problem, style="red")
        table.add_row(
            str(op.index),
            op.op,
            ", ".join(dimensions(shape) for shape in op.outputs),
            f"{op.macs:,}" if op.macs else "",
            kilobytes(op.weights_bytes) if op.weights_bytes else "",
            state,
        )
    return table


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@verb
def command(ui: Ui, model: Path) -> None:
    """Lists a .tflite's operators, shapes and sizes: which can train, which only run."""
    with about(model):
        found = inspect_model(read_bytes(model, "model"), model.stem)
    document = asdict(found) | {"problem": "" if found.problem is None else str(found.problem)}
    ends = Text(
        "\n".join(
            [
                *(end_line("input", tensor) for tensor in found.inputs),
                *(end_line("output", tensor) for tensor in found.outputs),
                f"{found.macs:,} MACs, {kilobytes(found.weights_bytes)} of weights\n",
            ]
        )
    )
    problem = [Text(f"\ncannot run: {found.problem}", style="red")] if found.problem else []
    ui.result(document, ends, table_of(found), *problem)
