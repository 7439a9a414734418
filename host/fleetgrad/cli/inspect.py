# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad inspect MODEL`: what is in a .tflite, what of it can run, and what can train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from fleetgrad.report.units import kilobytes
from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.frontend.suitability import check_suitable
from fleetgrad_codegen.frontend.tflite import parse_model
from fleetgrad_codegen.ir import ABSENT, Graph, Op, Tensor
from fleetgrad_codegen.ops import REGISTRY, check_op

from .files import about, read_bytes
from .ui import Ui, verb


@dataclass(frozen=True)
class Row:
    """One operator as a reader meets it.

    Attributes:
        op: The operator.
        trainable: The last-layer scheme can train it.
        problem: Why it cannot run; empty when it can.
        macs: Multiply-accumulates of one forward run.
        weights_bytes: Its constant tensors.
    """

    op: Op
    trainable: bool
    problem: str
    macs: int
    weights_bytes: int


def examine(graph: Graph) -> list[Row]:
    """Looks at every operator by itself, so that one problem does not hide another."""
    head = head_of(graph)
    rows = []
    for op in graph.ops:
        problem = ""
        try:
            check_op(graph, op)
        except CodegenError as error:
            problem = error.what
        macs = 0 if problem else REGISTRY[op.kind].macs(graph, op)
        constants = [
            graph.tensors[i] for i in op.inputs if i != ABSENT and graph.tensors[i].is_constant
        ]
        weights = sum(tensor.nbytes for tensor in constants)
        rows.append(Row(op, op is head, problem, macs, weights))
    return rows


def head_of(graph: Graph) -> Op | None:
    """The layer that last-layer training would train; None where the model ends otherwise."""
    for op in reversed(graph.ops):
        if op.kind == "FULLY_CONNECTED":
            return op
        if op.kind == "CONV_2D":
            return op if graph.tensors[op.inputs[1]].shape[1:3] == (1, 1) else None
        if op.kind not in {"SOFTMAX", "RESHAPE", "DEQUANTIZE", "QUANTIZE"}:
            return None
    return None


def describe(tensor: Tensor) -> dict[str, Any]:
    """A tensor as the JSON document shows it."""
    quantization = tensor.quantization
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype),
        "scale": None if quantization is None else quantization.scale[0],
        "zero_point": None if quantization is None else quantization.zero_point[0],
    }


def size_of(tensor: Tensor) -> str:
    """Shape and element type."""
    return f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {tensor.dtype}"


def scale_of(tensor: Tensor) -> tuple[str, str]:
    """Scale and zero point of an activation; empty where it has none."""
    if tensor.quantization is None:
        return "", ""
    return f"{tensor.quantization.scale[0]:.6g}", str(tensor.quantization.zero_point[0])


def table_of(graph: Graph, rows: list[Row]) -> Table:
    """The operators in order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("#", "operator", "output", "scale", "zero", "MACs", "weights"):
        left = heading in {"operator", "output"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for row in rows:
        state = Text("trains", style="bold green") if row.trainable else Text("runs")
        if row.problem:
            state = Text(row.problem, style="red")
        output = graph.tensors[row.op.outputs[0]] if row.op.outputs else None
        table.add_row(
            str(row.op.index),
            row.op.kind,
            *((size_of(output), *scale_of(output)) if output else ("", "", "")),
            f"{row.macs:,}" if row.macs else "",
            kilobytes(row.weights_bytes) if row.weights_bytes else "",
            state,
        )
    return table


def ends_of(graph: Graph) -> Text:
    """Inputs and outputs, one line each."""
    text = Text()
    for end, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            tensor = graph.tensors[index]
            scale, zero = scale_of(tensor)
            detail = f", scale {scale}, zero point {zero}" if scale else ""
            text.append(f"{end:7} {size_of(tensor)}{detail}\n")
    return text


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@verb
def command(ui: Ui, model: Path) -> None:
    """Lists a .tflite's operators, shapes and sizes: which can train, which only run."""
    with about(model):
        graph = parse_model(read_bytes(model, "model"), model.stem)
        rows = examine(graph)
    problem = ""
    try:
        check_suitable(graph)
    except CodegenError as error:
        problem = str(error)
    macs = sum(row.macs for row in rows)
    weights = sum(tensor.nbytes for tensor in graph.tensors if tensor.is_constant)
    document = {
        "model": graph.name,
        "runs": not problem,
        "problem": problem,
        "ops": [
            {
                "index": row.op.index,
                "op": row.op.kind,
                "trainable": row.trainable and not problem,
                "runs": not row.problem,
                "problem": row.problem,
                "macs": row.macs,
                "weights_bytes": row.weights_bytes,
            }
            for row in rows
        ],
        "inputs": [describe(graph.tensors[i]) for i in graph.inputs],
        "outputs": [describe(graph.tensors[i]) for i in graph.outputs],
        "macs": macs,
        "weights_bytes": weights,
    }
    ends = ends_of(graph).append(f"{macs:,} MACs, {kilobytes(weights)} of weights\n")
    verdict = [Text(f"\ncannot run: {problem}", style="red")] if problem else []
    ui.result(document, ends, table_of(graph, rows), *verdict)
