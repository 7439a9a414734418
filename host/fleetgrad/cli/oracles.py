# SPDX-License-Identifier: Apache-2.0
"""Other interpreters to compare with, in a process of their own: some files crash them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fleetgrad.errors import ToolError

TIMEOUT_S: Final = 600.0

Run = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def run_litert(model: bytes, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Runs every sample through a model, with LiteRT's reference kernels.

    Args:
        model: A whole .tflite file.
        samples: One sample per row, in the dtype of the model's input.

    Returns:
        The model's first output, one row per sample.

    Raises:
        ToolError: LiteRT refuses the model, or dies of it.
    """
    return _run("LiteRT", model, samples)


def run_tflm(model: bytes, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same with TFLite Micro's interpreter, where the package tflite-micro is installed."""
    return _run("TFLite Micro", model, samples)


def _run(which: str, model: bytes, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        (there / "model.tflite").write_bytes(model)
        np.save(there / "x.npy", samples)
        done = subprocess.run(
            [sys.executable, "-m", __name__, which, folder],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            complaint = (done.stderr.strip().splitlines() or [f"it died ({done.returncode})"])[-1]
            raise ToolError(f"{which} does not run the model: {complaint}")
        return np.asarray(np.load(there / "y.npy"))


def _litert(model: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415 - slow

    interpreter = Interpreter(
        model_path=str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (source,), result = interpreter.get_input_details(), interpreter.get_output_details()[0]

    def run(sample: npt.NDArray[Any]) -> npt.NDArray[Any]:
        interpreter.set_tensor(source["index"], sample)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(result["index"]))

    return run


def _tflm(model: Path) -> Run:
    from tflite_micro import runtime  # noqa: PLC0415 - optional

    interpreter = runtime.Interpreter.from_file(str(model))

    def run(sample: npt.NDArray[Any]) -> npt.NDArray[Any]:
        interpreter.set_input(sample, 0)
        interpreter.invoke()
        return np.asarray(interpreter.get_output(0))

    return run


def _serve(which: str, folder: Path) -> None:
    """The other process: model.tflite and x.npy in, y.npy out."""
    open_model = _litert if which == "LiteRT" else _tflm
    run = open_model(folder / "model.tflite")
    outputs = [run(sample[None])[0].copy() for sample in np.load(folder / "x.npy")]
    np.save(folder / "y.npy", np.stack(outputs))


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
