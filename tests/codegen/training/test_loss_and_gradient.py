# SPDX-License-Identifier: Apache-2.0
"""Integer loss and gradient against the real formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training.fixed_point import LearningRate, scale_of
from fleetgrad_codegen.training.head import Head, HeadShape, make_head
from fleetgrad_codegen.training.loss import log_of, loss_and_gradient, power_of_two

INPUT_SCALE, WEIGHT_SCALES, OUTPUT_SCALE = 0.03, (0.011, 0.007, 0.02), 0.05
INPUT_ZERO, OUTPUT_ZERO = -17, 9


SE, BCE = Loss.SQUARED_ERROR, Loss.BINARY_CROSS_ENTROPY


def _head(
    loss: Loss, *, positions: int, relu: bool, pooled: bool, beta: float = 1.0,
    logistic: bool = False, outputs: int = 3,
) -> Head:  # fmt: skip
    return make_head(
        HeadShape(6, outputs, positions, relu, pooled, logistic),
        loss,
        input_scale=INPUT_SCALE,
        input_zero_point=INPUT_ZERO,
        weight_scales=WEIGHT_SCALES[:outputs],
        output_scale=1 / 256 if logistic else OUTPUT_SCALE,
        output_zero_point=-128 if logistic else OUTPUT_ZERO,
        beta=beta,
    )


def _real_loss(
    head: Head, beta: float, parameters: np.ndarray, x: np.ndarray, target: np.ndarray
) -> float:
    """The loss of one sample as a function of real weights and biases, [outputs, inputs + 1]."""
    rows = x @ parameters[:, :-1].T + parameters[:, -1]
    if head.relu:
        rows = np.maximum(rows, 0)
    seen = rows.mean(axis=0, keepdims=True) if head.pooled else rows
    if head.logistic:
        chance, wanted = 1 / (1 + np.exp(-seen)), target.reshape(seen.shape)
        if head.loss is Loss.SQUARED_ERROR:
            return float(((chance - wanted) ** 2).mean())
        return float(-(wanted * np.log(chance) + (1 - wanted) * np.log(1 - chance)).mean())
    if head.loss is Loss.SQUARED_ERROR:
        return float(((seen - target.reshape(seen.shape)) ** 2).mean())
    logits = beta * seen[0]
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[target])


CASES = [
    (Loss.SOFTMAX_CROSS_ENTROPY, 1, False, False, False),
    (Loss.SOFTMAX_CROSS_ENTROPY, 4, False, True, False),
    (Loss.SOFTMAX_CROSS_ENTROPY, 4, True, True, False),
    (SE, 1, False, False, False),
    (SE, 4, False, False, False),
    (SE, 4, True, False, False),
    (SE, 4, True, True, False),
    (SE, 1, False, False, True),
    (SE, 4, False, False, True),
    (SE, 4, False, True, True),
    (BCE, 1, False, False, True),
    (BCE, 4, False, False, True),
    (BCE, 4, True, True, True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_the_update_is_the_numerical_gradient_of_the_real_loss(
    case: tuple[Loss, int, bool, bool, bool], seed: int
) -> None:
    loss, positions, relu, pooled, logistic = case
    outputs = 1 if loss is BCE and positions == 1 and seed % 2 else 3
    beta = 1.5 if loss is Loss.SOFTMAX_CROSS_ENTROPY else 1.0
    head = _head(
        loss, positions=positions, relu=relu, pooled=pooled, beta=beta, logistic=logistic,
        outputs=outputs,
    )  # fmt: skip
    dice = np.random.default_rng(seed)
    x = dice.integers(-128, 128, (1, positions, 6))
    weights, bias = dice.integers(-60, 60, (outputs, 6)), dice.integers(-400, 400, outputs)
    target = dice.integers(0, max(head.classes, 1), 1)
    if head.target_bytes:
        target = dice.integers(-80, 100, (1, head.loss_outputs))
        target.reshape(-1)[0] = 127 if logistic else 99
    centred, acc = head.accumulate(x, weights, bias)
    measured, gradient = loss_and_gradient(head, target, acc)

    scales = np.array(WEIGHT_SCALES[:outputs])
    real = np.hstack((weights * scales[:, None], (bias * scales * INPUT_SCALE)[:, None]))
    real_x = (x[0] - INPUT_ZERO) * INPUT_SCALE
    real_target = target[0]
    if logistic and head.target_bytes:
        real_target = np.where(target[0] == 127, 1.0, (target[0] + 128) / 256)
    elif head.target_bytes:
        real_target = (target[0] - OUTPUT_ZERO) * OUTPUT_SCALE
    numeric = np.zeros_like(real)
    for place in np.ndindex(real.shape):
        ends = []
        for sign in (1, -1):
            moved = real.copy()
            moved[place] += sign * 1e-5
            ends.append(_real_loss(head, beta, moved, real_x, real_target))
        numeric[place] = (ends[0] - ends[1]) / 2e-5

    # What the update would take off at a learning rate of 1, in real units.
    g = gradient[0] / 2.0**15
    rate = np.array([scale.real for scale in head.rate])
    bias_rate = np.array([scale.real for scale in head.bias_rate])
    made = np.hstack(
        (
            (g.T @ centred[0]) * (rate * scales / 256)[:, None],
            (g.sum(axis=0) * bias_rate * scales * INPUT_SCALE)[:, None],
        )
    )
    # The power table has 16 steps per octave.
    tolerance = 0.03 * np.abs(numeric).max() + (4e-4 if logistic else 2e-3)
    np.testing.assert_allclose(made, numeric, atol=tolerance)

    wanted = _real_loss(head, beta, real, real_x, real_target)
    if loss is SE:
        unit = (1 / 256 if logistic else OUTPUT_SCALE) ** 2
        near = pytest.approx(wanted, rel=0.03 if logistic else 0.01, abs=1e-4)
        assert measured[0] / 1024 * unit == near
    else:
        assert measured[0] / 1024 * np.log(2) == pytest.approx(wanted, abs=0.02)


@given(st.lists(st.integers(-(2**20), 2**20), min_size=2, max_size=12), st.data())
def test_probabilities_are_right_and_gradients_cancel(accs: list[int], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(accs) - 1))
    head = make_head(
        HeadShape(4, len(accs)),
        Loss.SOFTMAX_CROSS_ENTROPY,
        input_scale=0.01,
        input_zero_point=0,
        weight_scales=[0.001],
    )
    acc = np.array(accs).reshape(1, 1, -1)
    (loss,), gradient = loss_and_gradient(head, np.array([label]), acc)
    logits = np.array(accs) * 1e-5
    p = np.exp(logits - logits.max())
    p /= p.sum()
    found = gradient[0, 0] / 2.0**15
    wanted = p - (np.arange(len(accs)) == label)
    np.testing.assert_allclose(found, wanted, atol=0.03)
    assert abs(int(gradient.sum())) <= len(accs) // 2 + 1
    assert loss / 1024 == pytest.approx(-np.log2(max(p[label], 1e-300)), abs=0.06)
    assert loss >= 0


def test_a_certain_and_right_answer_has_neither_loss_nor_gradient() -> None:
    head = _head(Loss.SOFTMAX_CROSS_ENTROPY, positions=1, relu=False, pooled=False)
    acc = np.array([[[2**28, 0, -(2**28)]]])
    (loss,), gradient = loss_and_gradient(head, np.array([0]), acc)
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("loss", [Loss.SOFTMAX_CROSS_ENTROPY, Loss.SQUARED_ERROR])
def test_extreme_accumulators_saturate(loss: Loss) -> None:
    head = _head(loss, positions=1, relu=False, pooled=False)
    acc = np.array([[[2**31 - 1, -(2**31) + 1, 0]]])
    target = np.array([1]) if loss is Loss.SOFTMAX_CROSS_ENTROPY else np.array([[127, -128, 0]])
    (value,), gradient = loss_and_gradient(head, target, acc)
    assert 0 < value < 2**32
    assert np.abs(gradient).max() in {32767, 32768}


@pytest.mark.parametrize("loss", [SE, BCE])
def test_certain_chances(loss: Loss) -> None:
    head = _head(loss, positions=1, relu=False, pooled=False, logistic=True)
    acc = np.array([[[2**31 - 1, -(2**31) + 1, 0]]])
    (value,), gradient = loss_and_gradient(head, np.array([[127, -128, 0]]), acc)
    assert value == (0 if loss is SE else (1024 + 1) // 3)
    assert not gradient.any()
    (value,), gradient = loss_and_gradient(head, np.array([[-128, 127, 0]]), acc)
    assert 0 < value < 2**32
    assert gradient[0, 0].tolist() == ([32767, -32768, 0] if loss is BCE else [0, 0, 0])


def test_tables_follow_powers_and_logarithms() -> None:
    distances = np.arange(0, 18 * 1024)
    real = 2.0 ** (16 - distances / 1024)
    assert np.abs(power_of_two(distances) / real - 1)[: 8 * 1024].max() < 0.03
    values = np.unique(np.logspace(14.01, 31.9, 20000, base=2).astype(np.int64))
    assert np.abs(log_of(values) - 1024 * np.log2(values)).max() < 1.5


@pytest.mark.parametrize("real", [1e-12, 0.1, 0.5, 1.0, 3.0, 1e12])
def test_constants_and_learning_rates_keep_their_bits(real: float) -> None:
    assert scale_of(real).real == pytest.approx(real, rel=2**-30)
    assert 2**29 <= scale_of(real).mantissa < 2**30
    assert LearningRate.of(real).real == pytest.approx(real, rel=2**-15)
    assert 2**14 <= LearningRate.of(real).mantissa < 2**15


@pytest.mark.parametrize("real", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_is_a_positive_number(real: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        LearningRate.of(real)
