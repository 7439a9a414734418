# SPDX-License-Identifier: Apache-2.0
"""The committed model: what it is made of, and how badly it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen import ops
from fleetgrad_codegen.frontend.tflite import read_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fleetgrad_codegen.ir import Graph

Arrays = dict[str, "NDArray[np.generic]"]


@pytest.fixture(scope="module")
def model(checkout: Path) -> Graph:
    return read_model((checkout / "examples" / "digits" / "digits.tflite").read_bytes(), "digits")


def accuracy(model: Graph, x: NDArray[np.generic], y: NDArray[np.generic]) -> float:
    found = [ops.interpret(model, [sample[np.newaxis]])[0].argmax() for sample in x]
    return float(np.mean(np.array(found) == y))


def test_it_is_int8_from_end_to_end_with_static_shapes(model: Graph) -> None:
    kinds = [op.kind for op in model.ops]
    assert kinds == [
        "CONV_2D",
        "MAX_POOL_2D",
        "CONV_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]
    for index in (*model.inputs, *model.outputs):
        assert model.tensors[index].dtype == "int8"


def test_convolutions_are_quantised_per_channel_and_the_head_per_tensor(model: Graph) -> None:
    for op in model.ops:
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            weights = model.tensors[op.inputs[1]]
            assert weights.quantization is not None
            channels = weights.shape[0] if op.kind == "CONV_2D" else 1
            assert len(weights.quantization.scale) == channels


def test_its_input_is_the_camera_s_own_byte(model: Graph) -> None:
    quantization = model.tensors[model.inputs[0]].quantization
    assert quantization is not None
    assert quantization.scale == (float(np.float32(1 / 255)),)
    assert quantization.zero_point == (-128,)


def test_the_update_fits_three_frames_and_a_board_runs_it_quickly(model: Graph) -> None:
    head = next(op for op in model.ops if op.kind == "FULLY_CONNECTED")
    trained = sum(int(np.prod(model.tensors[index].shape)) for index in head.inputs[1:3])
    assert trained == 1450
    assert sum(ops.REGISTRY[op.kind].macs(model, op) for op in model.ops) < 60_000


def test_it_knows_the_factory_s_digits_and_fails_on_the_tilted_ones(
    model: Graph, factory: Arrays, digits: Arrays
) -> None:
    assert accuracy(model, factory["x"], factory["y"]) > 0.97
    held_out = digits["test"] == 1
    assert 0.5 < accuracy(model, digits["x"][held_out], digits["y"][held_out]) < 0.7


def test_the_frozen_ranges_hold_on_every_device(model: Graph, digits: Arrays) -> None:
    """Activations that clip on shifted data are what makes integer training fall behind."""
    features = next(op for op in model.ops if op.kind == "FULLY_CONNECTED").inputs[0]
    values = {index: model.tensors[index].data for index in range(len(model.tensors))}
    clipped = []
    for sample in digits["x"][::5]:
        values[model.inputs[0]] = sample[np.newaxis]
        for op in model.ops:
            inputs = [values[index] for index in op.inputs]
            outputs = ops.REGISTRY[op.kind].reference(model, op, inputs)
            values.update(zip(op.outputs, outputs, strict=True))
            if op.kind == "CONV_2D":
                clipped.append(float(np.mean(outputs[0] == 127)))
        assert values[features].max() < 127
    assert max(clipped) == 0.0
