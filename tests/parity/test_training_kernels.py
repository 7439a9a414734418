# SPDX-License-Identifier: Apache-2.0
"""The C training kernels give exactly what the NumPy specification gives."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.head import Head, HeadShape, make_head
from fleetgrad_codegen.training.loss import loss_and_gradient
from fleetgrad_codegen.training.update import shadow_of, update
from support import train_native as native

RELAXED = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)
RATES = st.one_of(
    st.floats(1e-5, 10.0),
    st.floats(1e-30, 1e30),  # nothing moves, everything saturates
)


@pytest.fixture(scope="session", params=["-O0", "-O3 -DFG_WIDE_LOOPS", "-Os"])
def library(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("train")
    return ctypes.CDLL(str(native.build(folder, *request.param.split())))


@st.composite
def heads(draw: st.DrawFn) -> Head:
    loss = draw(st.sampled_from([loss for loss in Loss if loss is not Loss.NONE]))
    logistic = loss is Loss.BINARY_CROSS_ENTROPY or (
        loss is Loss.SQUARED_ERROR and draw(st.booleans())
    )
    positions = draw(st.sampled_from([1, 1, 2, 5]))
    outputs = draw(st.integers(1 if loss is Loss.BINARY_CROSS_ENTROPY else 2, 11))
    pooled = positions > 1 and (loss is Loss.SOFTMAX_CROSS_ENTROPY or draw(st.booleans()))
    per_channel = draw(st.booleans())
    scales = st.floats(1e-6, 3.0)
    inputs = draw(st.integers(1, 37) | st.integers(60, 133))
    return make_head(
        HeadShape(inputs, outputs, positions, draw(st.booleans()), pooled, logistic),
        loss,
        input_scale=draw(st.floats(1e-5, 10.0)),
        input_zero_point=draw(st.integers(-128, 127)),
        weight_scales=[draw(scales) for _ in range(outputs if per_channel else 1)],
        output_scale=draw(st.floats(1e-4, 10.0)),
        output_zero_point=draw(st.integers(-128, 127)),
    )


def run_both(
    library: ctypes.CDLL, head: Head, samples: int, seed: int, rates: list[LearningRate]
) -> None:
    """Steps with random inputs from random parameters, compared after every one."""
    dice = np.random.default_rng(seed)
    limit = int(dice.choice([256, 8192, 32512]))
    masters = dice.integers(-limit, limit + 1, (head.outputs, head.inputs))
    bias = dice.integers(-1000, 1000, head.outputs) * int(dice.choice([1, 100_000]))
    sparse = dice.random() < 0.5
    device = native.NativeHead(library, head, samples)
    device.load(masters, bias)
    for number, rate in enumerate(rates):
        count = int(dice.integers(1, samples + 1))
        rows = []
        for row in range(count):
            x = dice.integers(-128, 128, (head.positions, head.inputs))
            if sparse:
                x[dice.random(x.shape) < 0.7] = head.input_zero_point
            target: int | np.ndarray = int(dice.integers(max(head.classes, 1)))
            if head.target_bytes:
                target = dice.integers(-128, 128, head.loss_outputs)
            centred, acc = head.accumulate(x[None], shadow_of(masters), bias)
            loss, gradient = loss_and_gradient(head, np.array([target]), acc)
            assert device.accumulate(row, x, target) == loss[0]
            np.testing.assert_array_equal(device.gradient[row], gradient[0])
            rows.append((centred[0], gradient[0]))
        key = rng.step_key(seed, number)
        masters, bias = update(
            head,
            masters=masters,
            bias=bias,
            centred=np.stack([centred for centred, _ in rows]),
            gradient=np.stack([gradient for _, gradient in rows]),
            rate=rate,
            key=key,
        )
        assert device.update(count, rate, key) == 0
        np.testing.assert_array_equal(device.masters, masters)
        np.testing.assert_array_equal(device.shadow, shadow_of(masters))
        np.testing.assert_array_equal(device.bias, bias)


@RELAXED
@given(
    head=heads(),
    samples=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    rates=st.lists(RATES, min_size=1, max_size=6),
)
def test_steps_equal_the_specification(
    library: ctypes.CDLL, head: Head, samples: int, seed: int, rates: list[float]
) -> None:
    run_both(library, head, samples, seed, [LearningRate.of(rate) for rate in rates])


@pytest.mark.parametrize("samples", [1, 8])
def test_thousands_of_steps_stay_equal(library: ctypes.CDLL, samples: int) -> None:
    head = make_head(
        HeadShape(64, 10),
        Loss.SOFTMAX_CROSS_ENTROPY,
        input_scale=0.02,
        input_zero_point=-128,
        weight_scales=[0.01],
    )
    run_both(library, head, samples, 7, [LearningRate.of(0.01)] * (1500 if samples == 1 else 300))


@given(rate=st.floats(1e-30, 1e30), seed=st.integers(0, 2**32 - 1))
@RELAXED
def test_equal_inputs_leave_zero_gradients_alone(
    library: ctypes.CDLL, rate: float, seed: int
) -> None:
    head = make_head(
        HeadShape(9, 3),
        Loss.SOFTMAX_CROSS_ENTROPY,
        input_scale=0.1,
        input_zero_point=3,
        weight_scales=[0.1],
    )
    device = native.NativeHead(library, head, 1)
    masters = np.random.default_rng(seed).integers(-32512, 32513, (3, 9))
    device.load(masters, np.array([5, -5, 0]))
    device.centred[:] = 100
    assert device.update(1, LearningRate.of(rate), seed) == 0
    np.testing.assert_array_equal(device.masters, masters)
    np.testing.assert_array_equal(device.bias, [5, -5, 0])


@pytest.mark.parametrize(
    ("samples", "mantissa", "exponent"),
    [(0, 20000, 0), (1, 16383, 0), (1, 32768, 0), (1, 20000, 40000), (1, 20000, -40000)],
)
def test_a_step_without_samples_or_with_a_bad_rate_is_refused(
    library: ctypes.CDLL, samples: int, mantissa: int, exponent: int
) -> None:
    head = make_head(
        HeadShape(4, 2),
        Loss.SOFTMAX_CROSS_ENTROPY,
        input_scale=0.1,
        input_zero_point=0,
        weight_scales=[0.1],
    )
    device = native.NativeHead(library, head, 1)
    assert device.update(samples, LearningRate(mantissa, exponent), 1) == -1


def test_masters_from_afar_are_moved_to_the_limit(library: ctypes.CDLL) -> None:
    head = make_head(
        HeadShape(2, 2),
        Loss.SOFTMAX_CROSS_ENTROPY,
        input_scale=0.1,
        input_zero_point=0,
        weight_scales=[0.1],
    )
    device = native.NativeHead(library, head, 1)
    device.load(np.array([[32767, -32768], [127, 128]]), np.zeros(2))
    assert device.masters.tolist() == [[32512, -32512], [127, 128]]
    assert device.shadow.tolist() == [[127, -127], [0, 1]]
