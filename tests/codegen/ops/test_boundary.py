# SPDX-License-Identifier: Apache-2.0
"""Conversions at both ends run on the host, everything between on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.errors import DataError, UnsupportedError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret, run_ops
from fleetgrad_codegen.ops.boundary import split_boundary
from support.models import ModelBuilder

if TYPE_CHECKING:
    from support.oracle import Oracle


def wrapped(outer_in: str, outer_out: str) -> bytes:
    """A fully connected layer with a conversion at either end, where the types ask for one."""
    made = ModelBuilder()
    inner_in = made.tensor((1, 6), 0.05, 3)
    inner_out = made.tensor((1, 4), 0.2, -9)
    weights = np.random.default_rng(0).integers(-127, 128, (4, 6), np.int8)
    source, target = inner_in, inner_out
    if outer_in != "int8":
        scale = None if outer_in == "float32" else 0.05
        source = made.tensor((1, 6), scale, 131, dtype=outer_in)
        made.op("QUANTIZE", [source], [inner_in])
    made.op("FULLY_CONNECTED", [inner_in, made.tensor((4, 6), 0.02, data=weights)], [inner_out])
    if outer_out == "float32":
        target = made.tensor((1, 4), dtype="float32")
        made.op("DEQUANTIZE", [inner_out], [target])
    elif outer_out == "uint8":
        target = made.tensor((1, 4), 0.2, 119, dtype="uint8")
        made.op("QUANTIZE", [inner_out], [target])
    return made.build([source], [target])


def sample(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    if dtype == "float32":
        return rng.standard_normal((1, 6), np.float32) * np.float32(3)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (1, 6), dtype)


@pytest.mark.parametrize("outer_in", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("outer_out", ["int8", "uint8", "float32"])
def test_the_three_parts_together_are_the_model(
    litert: Oracle, outer_in: str, outer_out: str
) -> None:
    data = wrapped(outer_in, outer_out)
    graph, x = read_model(data, "wrapped"), sample(outer_in)
    before, device, after = split_boundary(graph)
    assert [op.kind for op in device.ops] == ["FULLY_CONNECTED"]
    assert len(before) == (outer_in != "int8")
    assert len(after) == (outer_out != "int8")

    entering = run_ops(graph, before, {graph.inputs[0]: x})
    (middle,) = interpret(device, [entering[device.inputs[0]]])
    leaving = run_ops(graph, after, {device.outputs[0]: middle})
    result = leaving[graph.outputs[0]]

    np.testing.assert_array_equal(result, interpret(graph, [x])[0])
    np.testing.assert_array_equal(result, litert.run(data, [x])[0])


def test_a_requantisation_between_int8_tensors_stays_on_the_device() -> None:
    made = ModelBuilder()
    made.tensor((1, 6), 0.05)
    made.tensor((1, 6), 0.1)
    made.op("QUANTIZE", [0], [1])
    before, device, after = split_boundary(read_model(made.build([0], [1]), "m"))
    assert not before
    assert not after
    assert [op.kind for op in device.ops] == ["QUANTIZE"]


def test_float_in_the_middle_is_refused() -> None:
    made = ModelBuilder()
    made.tensor((1, 6), 0.05)
    made.tensor((1, 6), dtype="float32")
    made.tensor((1, 6), 0.1)
    made.op("DEQUANTIZE", [0], [1])
    made.op("QUANTIZE", [1], [2])
    with pytest.raises(UnsupportedError, match="in the middle") as caught:
        read_model(made.build([0], [2]), "m")
    assert "op 0 (DEQUANTIZE" in str(caught.value)


def test_a_model_of_conversions_only_is_refused() -> None:
    made = ModelBuilder()
    made.tensor((1, 6), dtype="float32")
    made.tensor((1, 6), 0.1)
    made.op("QUANTIZE", [0], [1])
    with pytest.raises(UnsupportedError, match="only converts"):
        read_model(made.build([0], [1]), "m")


def test_an_input_that_is_converted_twice_is_refused() -> None:
    made = ModelBuilder()
    made.tensor((1, 6), dtype="float32")
    for scale in (0.1, 0.2):
        made.op("QUANTIZE", [0], [made.tensor((1, 6), scale)])
    made.op("ADD", [1, 2], [made.tensor((1, 6), 0.3)])
    with pytest.raises(UnsupportedError, match="more than once"):
        read_model(made.build([0], [3]), "m")


@pytest.mark.parametrize(
    "value",
    [np.zeros((1, 5), np.int8), np.zeros((1, 6), np.uint8), np.zeros((1, 6), np.float64)],
    ids=["shape", "dtype", "double"],
)
def test_input_that_does_not_fit_is_refused(value: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        interpret(read_model(wrapped("int8", "int8"), "m"), [value])
    assert "(1, 6)" in str(caught.value)
