# SPDX-License-Identifier: Apache-2.0
"""Well-formed files that are no int8 models for one sample: each has its own message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.errors import CodegenError, ModelFormatError, UnsupportedError
from fleetgrad_codegen.frontend.tflite import read_model
from support.models import ModelBuilder, pack, small_cnn, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def dense(
    dtype: str = "int8", weight_type: str = "int8", *, rows: int = 1, weight_zero: int = 0
) -> ModelBuilder:
    """One fully connected layer from tensor 0 to tensor 3."""
    made = ModelBuilder()
    activation = {"int8": 0.1, "uint8": 0.1, "int16": 0.1, "float32": None}[dtype]
    made.tensor((rows, 4), activation, dtype=dtype)
    weights = np.ones((3, 4), weight_type)
    scale = None if weight_type == "float32" else 0.1
    made.tensor((3, 4), scale, weight_zero, dtype=weight_type, data=weights)
    bias_type = "float32" if dtype == "float32" else "int32"
    made.tensor(
        (3,), None if dtype == "float32" else 0.01, dtype=bias_type, data=np.zeros(3, bias_type)
    )
    made.tensor((rows, 3), activation, dtype=dtype)
    made.op("FULLY_CONNECTED", (0, 1, 2), (3,))
    return made


def invalid_float_model() -> bytes:
    return dense("float32", "float32").build([0], [3])


def invalid_hybrid_model() -> bytes:
    return dense("float32", "int8").build([0], [3])


def invalid_half_quantised_model() -> bytes:
    made = dense()
    made.tensor((1, 3), dtype="float32")
    made.op("DEQUANTIZE", (3,), (4,))
    made.tensor((1, 3), dtype="float32")
    made.op("SOFTMAX", (4,), (5,), beta=1.0)
    return made.build([0], [5])


def invalid_unknown_operator() -> bytes:
    made = dense()
    made.tensor((1, 3), 0.1)
    made.op("ELU", (3,), (4,))
    return made.build([0], [4])


def invalid_custom_operator() -> bytes:
    made = dense()
    made.tensor((1, 3), 0.1)
    made.op("CUSTOM", (3,), (4,))
    made.model.operatorCodes[-1].customCode = "Whatever"
    return made.build([0], [4])


def invalid_operator_from_the_future() -> bytes:
    made = dense()
    made.model.operatorCodes[0].builtinCode = 9999
    return made.build([0], [3])


def invalid_batch_of_four() -> bytes:
    return dense(rows=4).build([0], [3])


def invalid_dynamic_shape() -> bytes:
    made = dense()
    made.graph.tensors[0].shapeSignature = [1, -1]
    return made.build([0], [3])


def invalid_two_subgraphs() -> bytes:
    model = unpack(small_cnn(np.random.default_rng(1)))
    model.subgraphs.append(model.subgraphs[0])
    return pack(model)


def invalid_uint8_weights() -> bytes:
    return dense("uint8", "uint8", weight_zero=128).build([0], [3])


def invalid_uint8_weights_behind_int8_activations() -> bytes:
    return dense("int8", "uint8", weight_zero=128).build([0], [3])


def invalid_asymmetric_weights() -> bytes:
    return dense(weight_zero=3).build([0], [3])


def invalid_int16_activations() -> bytes:
    return dense("int16").build([0], [3])


def invalid_computed_weights() -> bytes:
    made = dense()
    made.graph.tensors[1].buffer = 0
    made.graph.tensors[0].shape = made.graph.tensors[1].shape = [1, 4]
    made.graph.tensors[3].shape = [1, 1]
    return made.build([0, 1], [3])


def invalid_fused_tanh() -> bytes:
    made = dense()
    made.graph.operators[0].builtinOptions.fusedActivationFunction = 4
    return made.build([0], [3])


def invalid_overflowing_bias() -> bytes:
    made = dense()
    made.model.buffers[2].data = np.frombuffer(np.full(3, 2**31 - 1, np.int32).tobytes(), np.uint8)
    return made.build([0], [3])


def invalid_cycle() -> bytes:
    model = unpack(small_cnn(np.random.default_rng(1)))
    first = model.subgraphs[0].operators[0]
    first.inputs = [first.outputs[0], *first.inputs[1:]]
    return pack(model)


def invalid_weights_of_the_wrong_size() -> bytes:
    made = dense()
    made.model.buffers[1].data = np.zeros(11, np.uint8)
    return made.build([0], [3])


def invalid_output_shape() -> bytes:
    made = dense()
    made.graph.tensors[3].shape = [1, 5]
    return made.build([0], [3])


def invalid_missing_scale() -> bytes:
    made = dense()
    made.graph.tensors[3].quantization = None
    return made.build([0], [3])


def invalid_negative_scale() -> bytes:
    made = dense()
    made.graph.tensors[3].quantization.scale = [-0.5]
    return made.build([0], [3])


def invalid_not_a_number_scale() -> bytes:
    made = dense()
    made.graph.tensors[3].quantization.scale = [float("nan")]
    return made.build([0], [3])


def invalid_number_of_scales() -> bytes:
    made = dense()
    made.graph.tensors[1].quantization.scale = [0.1, 0.2]
    made.graph.tensors[1].quantization.zeroPoint = [0, 0]
    return made.build([0], [3])


def invalid_tensor_index() -> bytes:
    made = dense()
    made.graph.operators[0].inputs = [0, 1, 77]
    return made.build([0], [3])


def invalid_operator_without_inputs() -> bytes:
    made = dense()
    made.graph.operators[0].inputs = []
    return made.build([0], [3])


def invalid_empty_model() -> bytes:
    made = ModelBuilder()
    made.tensor((1, 4), 0.1)
    return made.build([0], [0])


def invalid_stride_of_zero() -> bytes:
    model = unpack(small_cnn(np.random.default_rng(1)))
    model.subgraphs[0].operators[0].builtinOptions.strideW = 0
    return pack(model)


def invalid_options_of_another_operator() -> bytes:
    model = unpack(small_cnn(np.random.default_rng(1)))
    first, second = model.subgraphs[0].operators[:2]
    first.builtinOptionsType = second.builtinOptionsType
    first.builtinOptions = second.builtinOptions
    return pack(model)


def invalid_gigantic_activation() -> bytes:
    made = dense()
    made.graph.tensors[0].shape = [1, 2**31 - 1, 2**31 - 1]
    return made.build([0], [3])


def invalid_zero_point_beyond_int8() -> bytes:
    made = dense()
    made.graph.tensors[0].quantization.zeroPoint = [128]
    return made.build([0], [3])


UNSUPPORTED: list[tuple[Callable[[], bytes], tuple[str, ...]]] = [
    (invalid_float_model, ("float model", "fleetgrad quantize MODEL --data")),
    (invalid_hybrid_model, ("hybrid", "int8 weights", "from the float model")),
    (invalid_half_quantised_model, ("float32", "op 2 (SOFTMAX", "1 of 2")),
    (invalid_unknown_operator, ("operator ELU", "op 1 (ELU", "FULLY_CONNECTED")),
    (invalid_custom_operator, ('CUSTOM "Whatever"', "op 1")),
    (invalid_operator_from_the_future, ("BUILTIN_9999", "op 0")),
    (invalid_batch_of_four, ("batch of 4", "batch size of 1")),
    (invalid_dynamic_shape, ("dynamic shape", "tensor 0", "batch_size=1")),
    (invalid_two_subgraphs, ("2 subgraphs",)),
    (invalid_uint8_weights, ("uint8", "op 0")),
    (invalid_uint8_weights_behind_int8_activations, ("uint8", "2018", "op 0")),
    (invalid_asymmetric_weights, ("zero point 3", "symmetric")),
    (invalid_int16_activations, ("int16", "int8 activations")),
    (invalid_computed_weights, ("weights", "constant")),
    (invalid_fused_tanh, ("TANH", "RELU6", "op 0")),
    (invalid_overflowing_bias, ("overflow", "output channel 0")),
]

MALFORMED: list[tuple[Callable[[], bytes], tuple[str, ...]]] = [
    (invalid_cycle, ("before anything made it", "op 0")),
    (invalid_weights_of_the_wrong_size, ("11 bytes", "12 bytes", "tensor 1")),
    (invalid_output_shape, ("(1, 5)", "(1, 3)", "op 0")),
    (invalid_missing_scale, ("no scale", "op 0")),
    (invalid_negative_scale, ("positive", "tensor 3")),
    (invalid_not_a_number_scale, ("positive", "tensor 3")),
    (invalid_zero_point_beyond_int8, ("zero point 128", "tensor 0", "-128 to 127")),
    (invalid_number_of_scales, ("2 scales", "tensor 1")),
    (invalid_tensor_index, ("tensor 77", "op 0")),
    (invalid_operator_without_inputs, ("0 inputs", "op 0")),
    (invalid_empty_model, ("without content",)),
    (invalid_stride_of_zero, ("stride 0", "op 0")),
    (invalid_options_of_another_operator, ("options of another operator", "op 0")),
    (invalid_gigantic_activation, ("2**31", "tensor 0")),
]


def check(fixture: Callable[[], bytes], kind: type[CodegenError], said: tuple[str, ...]) -> None:
    with pytest.raises(kind) as caught:
        read_model(fixture(), "test.tflite")
    message = str(caught.value)
    for part in said:
        assert part in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("fixture", "said"), UNSUPPORTED, ids=lambda v: getattr(v, "__name__", ""))
def test_unsupported_models_are_explained(
    fixture: Callable[[], bytes], said: tuple[str, ...]
) -> None:
    check(fixture, UnsupportedError, said)


@pytest.mark.parametrize(("fixture", "said"), MALFORMED, ids=lambda v: getattr(v, "__name__", ""))
def test_inconsistent_models_are_explained(
    fixture: Callable[[], bytes], said: tuple[str, ...]
) -> None:
    check(fixture, ModelFormatError, said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mlperf_ad01_fp32", "float model"),
        ("tflm_mnist_lstm_float", "float model"),
        ("mlperf_kws_ref_model_float32", "hybrid"),
    ],
)
def test_real_models_beyond_us_name_the_operator(shared_data: Path, name: str, said: str) -> None:
    data = (shared_data / "models" / f"{name}.tflite").read_bytes()
    with pytest.raises(UnsupportedError) as caught:
        read_model(data, name)
    assert said in str(caught.value)
