# SPDX-License-Identifier: Apache-2.0
"""The one operator on which TFLite Micro differs from LiteRT's reference, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fleetgrad_codegen.ops.fixed_point import quantize_multiplier, scale_twice
from support.models import ModelBuilder

if TYPE_CHECKING:
    from support.oracle import Oracle


def test_tflm_rounds_fully_connected_twice_with_a_float32_product(
    litert: Oracle, tflm: Oracle
) -> None:
    rng = np.random.default_rng(0)
    differences = 0
    for _ in range(20):
        depth, units = 64, 100
        source, weight, target = np.float32(rng.uniform(0.01, 0.1, 3))
        target *= np.float32(100)
        values = rng.integers(-127, 128, (units, depth), np.int8)
        made = ModelBuilder()
        made.tensor((1, depth), source)
        made.tensor((units, depth), weight, data=values)
        made.tensor((1, units), target)
        made.op("FULLY_CONNECTED", (0, 1), (2,))
        model = made.build([0], [2])
        x = rng.integers(-128, 128, (1, depth), np.int8)
        (theirs,) = tflm.run(model, [x])
        factor = quantize_multiplier(float(source * weight) / float(target))
        acc = x.astype(np.int64) @ values.T.astype(np.int64)
        expected = np.clip(scale_twice(acc, factor.value, factor.shift), -128, 127)
        np.testing.assert_array_equal(theirs, expected)
        differences += int((theirs != litert.run(model, [x])[0]).sum())
    assert differences > 0
