# SPDX-License-Identifier: Apache-2.0
"""LiteRT with its reference kernels, in a process of its own: there are files that crash it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fleetgrad.errors import ToolError

from .files import write_arrays

TIMEOUT_S: Final = 600.0


def run_litert(model: bytes, samples: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Runs every sample through a model.

    Args:
        model: A whole .tflite file.
        samples: One sample per row, in the dtype of the model's input.

    Returns:
        One array per output of the model, one row per sample.

    Raises:
        ToolError: LiteRT refuses the model, or dies of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        (there / "model.tflite").write_bytes(model)
        np.save(there / "x.npy", samples)
        done = subprocess.run(
            [sys.executable, "-m", __name__, folder],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            complaint = (done.stderr.strip().splitlines() or [f"it died ({done.returncode})"])[-1]
            raise ToolError(f"LiteRT does not run the model: {complaint}")
        with np.load(there / "y.npz") as outputs:
            return [np.asarray(outputs[f"y{index}"]) for index in range(len(outputs.files))]


def _serve(folder: Path) -> None:
    """The other process: model.tflite and x.npy in, y.npz out."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415 - slow

    interpreter = Interpreter(
        model_path=str(folder / "model.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    results = interpreter.get_output_details()
    rows: list[list[npt.NDArray[Any]]] = [[] for _ in results]
    for sample in np.load(folder / "x.npy"):
        interpreter.set_tensor(source["index"], sample.reshape(source["shape"]))
        interpreter.invoke()
        for row, result in zip(rows, results, strict=True):
            row.append(interpreter.get_tensor(result["index"])[0])
    write_arrays(folder / "y.npz", {f"y{i}": np.stack(row) for i, row in enumerate(rows)})


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
