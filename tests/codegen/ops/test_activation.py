# SPDX-License-Identifier: Apache-2.0
"""The ranges that fused activations let through."""

from __future__ import annotations

import pytest

from fleetgrad_codegen.ir import DType, Quantization, Tensor
from fleetgrad_codegen.ops.activation import Activation, activation_range


@pytest.mark.parametrize(
    ("activation", "limits"),
    [
        (Activation.NONE, (-128, 127)),
        (Activation.RELU, (-10, 127)),
        (Activation.RELU6, (-10, 127)),
        (Activation.RELU_N1_TO_1, (-128, 127)),
    ],
)
def test_limits_beyond_float32_are_the_ends_of_int8(
    activation: Activation, limits: tuple[int, int]
) -> None:
    smallest = Tensor("t", (1,), DType.INT8, Quantization((2.0**-149,), (-10,)))
    assert activation_range(activation, smallest) == limits
