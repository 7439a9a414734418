# SPDX-License-Identifier: Apache-2.0
"""The real models that are supported from end to end, and inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import run_ops
from fleetgrad_codegen.ops.boundary import split_boundary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleetgrad_codegen.ir import Graph

REAL_MODELS = (
    "mlperf_ad01_int8",
    "mlperf_ic_pretrainedResnet_large_int8",
    "mlperf_ic_pretrainedResnet_quant",
    "mlperf_kws_ref_model",
    "mlperf_str_ww_ref_model",
    "mltk_image_example1",
    "mltk_kws_pacman",
    "mltk_magic_wand_int8",
    "mltk_rock_paper_scissors",
    "tflm_hello_world_int8",
    "tflm_micro_speech_quantized",
    "tflm_person_detect",
)


@dataclass(frozen=True)
class RealModel:
    """A model file from the shared folder."""

    folder: Path
    name: str

    @property
    def data(self) -> bytes:
        """The file."""
        return (self.folder / "models" / f"{self.name}.tflite").read_bytes()

    def golden(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs and outputs of the device's part, int8; none where there is no golden file.

        The golden outputs are those of the whole model: a DEQUANTIZE behind the device is undone.
        """
        path = self.folder / "models" / "golden" / f"{self.name}.npz"
        if not path.exists():
            return
        golden = np.load(path, allow_pickle=False)
        whole = read_model(self.data, self.name)
        before, device, after = split_boundary(whole)
        shape = whole.tensors[whole.inputs[0]].shape
        for x, y in zip(golden["x"], golden["y0"], strict=True):
            known = run_ops(whole, before, {whole.inputs[0]: x.reshape(shape)})
            result = _undone(device, y.reshape(-1)) if after else y.reshape(-1)
            yield known[device.inputs[0]], result


def _undone(device: Graph, y: np.ndarray) -> np.ndarray:
    """The int8 values that a DEQUANTIZE behind the device has made floats of."""
    quantization = device.tensors[device.outputs[0]].quantization
    assert quantization is not None
    every = np.arange(-128, 128, dtype=np.int8)
    centred = every.astype(np.float64) - quantization.zero_point[0]
    floats = (quantization.scale[0] * centred).astype(np.float32)
    values = every[np.searchsorted(floats, y)]
    np.testing.assert_array_equal(floats[values.astype(int) + 128], y)
    return values
