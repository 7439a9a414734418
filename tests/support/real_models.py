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

REAL_MODELS = (
    "cfu_mnv2_160_035",
    "mcunet_mnist_lenet300",
    "mcunet_vww",
    "mlperf_ad01_int8",
    "mlperf_ic_pretrainedResnet_large_int8",
    "mlperf_ic_pretrainedResnet_quant",
    "mlperf_kws_ref_model",
    "mlperf_str_ww_ref_model",
    "mltk_autoencoder_int8",
    "mltk_image_example1",
    "mltk_kws_pacman",
    "mltk_magic_wand_int8",
    "mltk_rock_paper_scissors",
    "stm32_aed_yamnet256_int8",
    "tflm_hello_world_int8",
    "tflm_keyword_scrambled_8bit",
    "tflm_micro_speech_quantized",
    "tflm_mnist_lstm_int8",
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
        """Inputs of the device's part and outputs of the whole model; none without a file."""
        path = self.folder / "models" / "golden" / f"{self.name}.npz"
        if not path.exists():
            return
        golden = np.load(path, allow_pickle=False)
        whole = read_model(self.data, self.name)
        before, device, _ = split_boundary(whole)
        shape = whole.tensors[whole.inputs[0]].shape
        for x, y in zip(golden["x"], golden["y0"], strict=True):
            known = run_ops(whole, before, {whole.inputs[0]: x.reshape(shape)})
            yield known[device.inputs[0]], y.reshape(-1)

    def leave(self, output: np.ndarray) -> np.ndarray:
        """What the host makes of the device's output, flat."""
        whole = read_model(self.data, self.name)
        _, device, after = split_boundary(whole)
        shape = device.tensors[device.outputs[0]].shape
        known = run_ops(whole, after, {device.outputs[0]: output.reshape(shape)})
        return known[whole.outputs[0]].reshape(-1)
