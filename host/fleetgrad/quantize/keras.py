# SPDX-License-Identifier: Apache-2.0
"""Keras models to full-integer .tflite, by TensorFlow's own converter."""

import contextlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import DataError, ToolError, UsageError

SUFFIXES = (".keras", ".h5", ".hdf5")
EXTRA = "pip install 'fleetgrad[models]'"


@dataclass(frozen=True, eq=False)
class FloatModel:
    """A float model with one input and one output.

    Attributes:
        shape: Of one sample.
        model: As Keras holds it.
        keras: The Keras that holds it: version 3, or 2 for older files.
    """

    shape: tuple[int, ...]
    model: Any
    keras: Any


def read_keras(path: Path) -> FloatModel:
    """Reads a .keras file, or an .h5 of Keras 3 or 2.

    Raises:
        ToolError: TensorFlow is not installed.
        UsageError: There is no such file.
        DataError: Keras cannot read it, or it has several inputs, or sizes left open.
    """
    if not path.is_file():
        raise UsageError("there is no such file", str(path), hint="check the path")
    model, keras = _load(path)
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(model.outputs) != 1:
        raise DataError("a model with several inputs or outputs", str(path), "one of each")
    if any(size is None for size in shape[1:]):
        raise DataError(
            f"the input's shape {shape} leaves a size open", str(path), "all but the batch known"
        )
    return FloatModel(shape[1:], model, keras)


def _load(path: Path) -> tuple[Any, Any]:
    """The model, and the Keras that can read it."""
    candidates = [_tensorflow().keras]
    if path.suffix != ".keras":
        try:
            import tf_keras  # noqa: PLC0415 - Keras 2, for files that Keras 3 cannot read
        except ImportError:
            pass
        else:
            candidates.append(tf_keras)
    reasons = []
    for keras in candidates:
        try:
            return keras.models.load_model(path, compile=False), keras
        except Exception as error:  # whatever layers and h5py happen to raise
            reasons.append((str(error).strip().splitlines() or [type(error).__name__])[0][:200])
    raise DataError(
        f"Keras cannot read the model: {'; '.join(reasons)}",
        str(path),
        "a model saved whole, of layers that Keras itself has",
        "pip install tf-keras, for files of Keras 2"
        if len(candidates) == 1 and path.suffix != ".keras"
        else "model.save('model.keras')",
    )


def convert(source: FloatModel, calibration: NDArray[np.float32] | None = None) -> bytes:
    """A .tflite with a batch of one.

    Args:
        source: The model.
        calibration: Samples [n, ...] that fix the ranges of an int8 model: convolutions per
            channel, fully connected layers per tensor, int8 in and out. None: stays float32.

    Raises:
        DataError: The converter refuses the model.
    """
    tensorflow = _tensorflow()
    # A free batch size would leave operators behind that work shapes out at run time.
    entry = source.keras.Input(batch_shape=(1, *source.shape), name="input")
    single = source.keras.Model(entry, source.model(entry, training=False))
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(single)
    if calibration is not None:
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([one[np.newaxis]] for one in calibration)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tensorflow.int8
        converter.inference_output_type = tensorflow.int8
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bytes(converter.convert())
    except Exception as error:  # the converter's errors have no common type
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"TensorFlow cannot convert the model: {reason}",
            expected="operators that have an int8 form",
        ) from error


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow  # noqa: PLC0415 - seconds, and absent in most installations
    except ImportError as error:
        raise ToolError(
            "TensorFlow is not installed", expected="the extra models", hint=EXTRA
        ) from error
    return tensorflow
