# SPDX-License-Identifier: Apache-2.0
"""Integer gradients point where real ones do, and integers learn as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.gradient.network import Network, State
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, DeepScheme, Full, Sparse, deep_training
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan

CE = Loss.SOFTMAX_CROSS_ENTROPY
Digits = tuple[bytes, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits(checkout: Path) -> Digits:
    folder = checkout / "examples" / "digits"
    data = np.load(folder / "digits.npz", allow_pickle=False)
    return (
        (folder / "digits.tflite").read_bytes(),
        data["x"],
        data["y"].astype(np.int64),
        data["test"],
    )


def accuracy(network: Network, state: State, x: np.ndarray, y: np.ndarray) -> float:
    """Of the int8 model, in percent."""
    graph = network.trained_graph(state)
    right = [
        interpret(graph, [s[None]])[0].argmax() == label for s, label in zip(x, y, strict=True)
    ]
    return 100 * float(np.mean(right))


def test_gradients_point_where_float_ones_do(digits: Digits) -> None:
    model, x, y, _ = digits
    training = deep_training(Full(), Full().adapt(model, "m"), "m", CE)
    integer, real = training.network, training.float_network
    cosines, sizes = [], []
    for sample, label in zip(x[:80], y[:80], strict=True):
        ours = integer.gradients(integer.initial(), sample, label)
        theirs = real.gradients(real.initial(), sample, label)
        for position, gradient in ours.items():
            other = theirs[position][0]
            norms = np.linalg.norm(gradient), np.linalg.norm(other)
            if not all(norms):
                continue  # certain, and right
            cosines.append(float((gradient * other).sum() / (norms[0] * norms[1])))
            sizes.append(norms[0] / norms[1])
    assert len(cosines) > 100
    assert np.mean(cosines) >= 0.95
    assert abs(np.median(sizes) - 1) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "rate"), [(Bias(), 0.02), (Sparse(), 0.01), (Full(), 0.005)], ids=str
)
def test_integers_learn_as_well_as_floats(digits: Digits, scheme: DeepScheme, rate: float) -> None:
    model, x, y, held = digits
    training = deep_training(scheme, scheme.adapt(model, "m"), "m", CE)
    integer, real = training.network, training.float_network
    gaps = []
    for seed in (1, 2, 3):
        plan = LocalPlan(LearningRate.of(rate), epochs=2, seed=seed)
        done = integer.train(integer.initial(), x[~held], y[~held], plan=plan, device_id=1)
        float_done = real.train(real.initial(), x[~held], y[~held], plan=plan, device_id=1)
        ours = accuracy(integer, done.parameters, x[held], y[held])
        gaps.append(ours - 100 * real.accuracy(float_done, x[held], y[held]))
    assert np.mean(gaps) > -2.0, gaps


def test_training_is_repeatable_and_depends_on_the_seed(digits: Digits) -> None:
    model, x, y, _ = digits
    network = deep_training(Sparse(), Sparse().adapt(model, "m"), "m", CE).network
    ends = []
    for seed in (1, 1, 2):
        plan = LocalPlan(LearningRate.of(0.01), seed=seed, max_steps=40)
        done = network.train(network.initial(), x, y, plan=plan, device_id=9)
        ends.append(network.vector(done.parameters))
    assert ends[0] == ends[1] != ends[2]
