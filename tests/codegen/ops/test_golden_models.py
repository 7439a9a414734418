# SPDX-License-Identifier: Apache-2.0
"""Real models against outputs that LiteRT's reference kernels gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.verify import reference_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from fleetgrad_codegen.ir import Graph
    from support.oracle import Oracle

MODELS = (
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
    "tflm_micro_speech_quantized",
    "tflm_mnist_lstm_int8",
)


def load(folder: Path, name: str) -> tuple[bytes, Graph]:
    data = (folder / "models" / f"{name}.tflite").read_bytes()
    return data, read_model(data, name)


def random_input(graph: Graph, rng: np.random.Generator) -> np.ndarray:
    tensor = graph.tensors[graph.inputs[0]]
    if tensor.dtype == "int8":
        return rng.integers(-128, 128, tensor.shape, np.int8)
    return rng.standard_normal(tensor.shape, np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_golden_outputs_are_met_bit_for_bit(shared_data: Path, name: str) -> None:
    _, graph = load(shared_data, name)
    golden = np.load(shared_data / "models" / "golden" / f"{name}.npz", allow_pickle=False)
    shape = graph.tensors[graph.inputs[0]].shape
    samples = [x.reshape(shape) for x in golden["x"]]
    for output, expected in zip(reference_outputs(graph, samples), golden["y0"], strict=True):
        np.testing.assert_array_equal(output, expected.reshape(output.shape))


@pytest.mark.parametrize("name", MODELS)
def test_random_inputs_agree_with_litert(shared_data: Path, litert: Oracle, name: str) -> None:
    data, graph = load(shared_data, name)
    rng = np.random.default_rng(1)
    for _ in range(8):
        x = random_input(graph, rng)
        ours, theirs = interpret(graph, [x])[0], litert.run(data, [x])[0]
        if graph.ops[-1].kind == "LOG_SOFTMAX":  # exp() and log() of some C library
            np.testing.assert_allclose(ours, theirs, rtol=2e-7, atol=5e-7)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_a_model_that_litert_refuses_agrees_with_tflm(shared_data: Path, tflm: Oracle) -> None:
    data, graph = load(shared_data, "tflm_person_detect")
    rng = np.random.default_rng(2)
    for _ in range(4):
        x = random_input(graph, rng)
        np.testing.assert_array_equal(interpret(graph, [x])[0], tflm.run(data, [x])[0])
