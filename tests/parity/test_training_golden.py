# SPDX-License-Identifier: Apache-2.0
"""The numbers printed in SPEC.md's "Numerics", read from its text: NumPy and C must give them."""

from __future__ import annotations

import ctypes
import tomllib
from typing import Any

import numpy as np
import pytest

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.head import HeadShape, make_head
from fleetgrad_codegen.training.loss import cross_entropy
from fleetgrad_codegen.training.update import shadow_of, update
from support import train_native as native

SPEC = (native.ROOT / "SPEC.md").read_text(encoding="utf-8")
BLOCKS = [tomllib.loads(part.split("```", 1)[0]) for part in SPEC.split("```toml\n")[1:]]
(NUMBERS,) = [block for block in BLOCKS if "head_step" in block]
RANDOM: dict[str, Any] = NUMBERS["random"]
STEP: dict[str, Any] = NUMBERS["head_step"]
HEAD = make_head(
    HeadShape(3, 2),
    Loss.SOFTMAX_CROSS_ENTROPY,
    input_scale=1 / 16,
    input_zero_point=-8,
    weight_scales=[1 / 32],
)
RATE = LearningRate.of(0.05)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return ctypes.CDLL(str(native.build(tmp_path_factory.mktemp("train"), "-O2")))


def test_random_numbers_are_those_of_the_specification() -> None:
    key = rng.round_key(RANDOM["seed"], RANDOM["round"], RANDOM["device_id"])
    step = rng.step_key(key, RANDOM["step"])
    rows = rng.row_keys(rng.layer_key(step, 0), 2)
    assert (key, step) == (RANDOM["round_key"], RANDOM["step_key"])
    assert rows.tolist() == RANDOM["output_keys"]
    assert rng.weight_noise(rows, 3).tolist() == RANDOM["weight_noise"]
    assert rng.bias_noise(rows).tolist() == RANDOM["bias_noise"]
    assert rng.sample_order(key, 0, 7).tolist() == RANDOM["order_of_7"]


def test_constants_are_those_of_the_specification() -> None:
    for name in ("fine", "rate", "bias_rate"):
        (scale,) = getattr(HEAD, name)
        assert [scale.mantissa, scale.exponent] == STEP[name]
    assert [RATE.mantissa, RATE.exponent] == STEP["learning_rate"]


def test_a_step_is_that_of_the_specification() -> None:
    masters, bias = np.array(STEP["masters"]), np.array(STEP["bias"])
    assert shadow_of(masters).tolist() == STEP["shadow"]
    centred, acc = HEAD.accumulate(np.array([STEP["x"]]), shadow_of(masters), bias)
    assert acc.tolist() == [[STEP["accumulators"]]]
    loss, gradient = cross_entropy(HEAD, np.array([1]), acc)
    assert loss.tolist() == [STEP["loss"]]
    assert gradient.tolist() == [[STEP["gradient"]]]
    after = update(
        HEAD,
        masters=masters,
        bias=bias,
        centred=centred,
        gradient=gradient,
        rate=RATE,
        key=STEP["step_key"],
    )
    assert [part.tolist() for part in after] == [STEP["masters_after"], STEP["bias_after"]]


def test_a_step_in_c_is_that_of_the_specification(library: ctypes.CDLL) -> None:
    device = native.NativeHead(library, HEAD, 1)
    device.load(np.array(STEP["masters"]), np.array(STEP["bias"]))
    assert device.accumulate(0, np.array(STEP["x"]), 1) == STEP["loss"]
    assert device.gradient.reshape(-1).tolist() == STEP["gradient"]
    assert device.update(1, RATE, STEP["step_key"]) == 0
    assert device.masters.tolist() == STEP["masters_after"]
    assert device.bias.tolist() == STEP["bias_after"]
