# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad quantize MODEL`: an int8 model of a float one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.table import Table

from fleetgrad.bundle import TensorSpec
from fleetgrad.data import Dataset, quantise_input, read
from fleetgrad.errors import UsageError
from fleetgrad.quantize import (
    Representative,
    convert,
    quantise_tflite,
    read_keras,
    representative,
)
from fleetgrad.quantize.keras import SUFFIXES
from fleetgrad.report.units import count, kilobytes, percent
from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.frontend.suitability import check_quantised
from fleetgrad_codegen.frontend.tflite import parse_model
from fleetgrad_codegen.ir import DType

from .backends import Model
from .files import about, read_bytes, refuse_to_overwrite, write_bytes
from .oracles import run_litert
from .ui import Ui, verb


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True,
              help="An .npz: samples in x, as devices will see them; labels in y.")  # fmt: skip
@click.option("--samples", type=click.IntRange(1), default=200, show_default=True,
              help="How many fix the ranges of the activations.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True,
              help="Gets the int8 .tflite.")  # fmt: skip
@verb
def command(ui: Ui, model: Path, *, data: Path, samples: int, output: Path) -> None:
    """Quantises a float model to int8 throughout: .keras, .h5, or a float .tflite.

    Needs the extra models: pip install 'fleetgrad[models]'.
    """
    refuse_to_overwrite(output, model, data)
    dataset = read(data)
    if model.suffix in SUFFIXES:
        floating, made, shown = _of_keras(model, dataset, samples)
    else:
        floating, made, shown = _of_tflite(model, dataset, samples)
    with about(output):
        checked = Model.read(made, output.stem)
    before = _accuracy(floating, shown.x, shown.y)
    after = None if before is None else _accuracy(made, _entered(checked, shown.x), shown.y)
    write_bytes(output, made)
    document: dict[str, Any] = {
        "output": str(output),
        "bytes": len(made),
        "float_bytes": len(floating),
        "calibration_samples": len(shown.calibration),
        "measured_samples": 0 if before is None else len(shown.x),
        "accuracy_float": before,
        "accuracy_int8": after,
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("float32", kilobytes(len(floating)), percent(before))
    table.add_row("int8", kilobytes(len(made)), percent(after))
    ui.note(f"ranges of {count(len(shown.calibration))} samples; {output}")
    if before is None:
        ui.note("no labels: what it costs in accuracy is not known")
    ui.result(document, table)


def _of_keras(path: Path, dataset: Dataset, samples: int) -> tuple[bytes, bytes, Representative]:
    source = read_keras(path)
    shown = representative(dataset, source.shape, samples)
    return convert(source), convert(source, shown.calibration), shown


def _of_tflite(path: Path, dataset: Dataset, samples: int) -> tuple[bytes, bytes, Representative]:
    content = read_bytes(path, "model")
    with about(path):
        graph = parse_model(content, path.stem)
    try:
        check_quantised(graph)
    except UnsupportedError:
        pass  # float, as it should be
    else:
        raise UsageError("the model is int8 already", str(path), "a float model")
    if len(graph.inputs) != 1 or graph.tensors[graph.inputs[0]].dtype is not DType.FLOAT32:
        raise UsageError("a model with other inputs than one float32", str(path), "one of float32")
    if any(t.is_constant and t.dtype is DType.INT8 for t in graph.tensors):
        raise UsageError(
            "this is a hybrid model: its weights are int8 already, and what they were is lost",
            str(path),
            "a float model",
            "the Keras model that it was made from",
        )
    shown = representative(dataset, graph.tensors[graph.inputs[0]].shape[1:], samples)
    names = {tensor.name for tensor in graph.tensors if not tensor.is_constant}
    with about(path):
        return content, quantise_tflite(content, names, shown.calibration), shown


def _entered(model: Model, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Samples in the quantised model's own integers."""
    tensor = model.whole.tensors[model.whole.inputs[0]]
    found = tensor.quantization
    assert found is not None
    spec = TensorSpec(tensor.shape, "int8", found.scale[0], found.zero_point[0], "int8")
    return quantise_input(x, spec, where="x").reshape(x.shape)


def _accuracy(content: bytes, x: npt.NDArray[Any], y: npt.NDArray[np.int64] | None) -> float | None:
    """Share of samples whose label is predicted, by LiteRT; None without labels."""
    if y is None:
        return None
    outputs = run_litert(content, x)
    return float((outputs.reshape(len(x), -1).argmax(axis=1) == y).mean())
