# SPDX-License-Identifier: Apache-2.0
"""Integer gradients point where real ones do, and integers learn as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.gradient.float_network import FloatNetwork, FloatState
from fleetgrad_codegen.gradient.network import Network, State
from fleetgrad_codegen.gradient.tape import Mask
from fleetgrad_codegen.gradient.training import DeepTraining
from fleetgrad_codegen.ops import interpret, run_ops
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, DeepScheme, Full, Sparse, deep_training, find_head
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.float_forward import dequantised
from fleetgrad_codegen.training.local import LocalPlan
from support.deep_models import DEEP

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


class StraightThrough(FloatNetwork):
    """Real errors on the way back through int8 activations: what integer errors stand for."""

    def __init__(self, training: DeepTraining, position: int) -> None:
        network = training.network
        super().__init__(network.graph, position, network.head, network.tape)
        self.network, self.position = network, position
        self.integers: dict[int, np.ndarray] = {}

    def _forward(self, state: FloatState, samples: np.ndarray) -> dict[int, np.ndarray]:
        graph = self.network.graph
        first = graph.tensors[graph.inputs[0]]
        given = {graph.inputs[0]: samples[0].reshape(first.shape)}
        self.integers = run_ops(graph, graph.ops[: self.position], given)
        values = {i: dequantised(graph.tensors[i], v) for i, v in self.integers.items()}
        op, layer = graph.ops[self.position], state[self.position]
        weights = layer.weights.reshape(len(layer.bias), -1)
        rows = values[op.inputs[0]].reshape(-1, weights.shape[1]) @ weights.T + layer.bias
        return {**values, op.outputs[0]: rows[None]}

    def _masked(
        self, errors: np.ndarray, mask: Mask | None, values: dict[int, np.ndarray]
    ) -> np.ndarray:
        if mask is None:
            return errors
        seen = self.integers[mask.tensor].reshape(errors.shape)
        return np.where((seen == mask.low) | (seen == mask.high), 0.0, errors)


@pytest.mark.parametrize("name", DEEP)
def test_errors_pass_every_operator_as_real_ones_do(name: str) -> None:
    model = Full().adapt(DEEP[name](np.random.default_rng(3)), name)
    training = deep_training(Full(), model, name, CE)
    integer = training.network
    real = StraightThrough(training, find_head(training.graph).position)
    dice = np.random.default_rng(8)
    shape = training.graph.tensors[training.graph.inputs[0]].shape[1:]
    cosines: dict[int, list[float]] = {}
    sizes = []
    for _ in range(24):
        sample = dice.integers(-128, 128, shape).astype(np.int8)
        label = interpret(training.graph, [sample[None]])[0].argmin()
        ours = integer.gradients(integer.initial(), sample, label)
        theirs = real.gradients(real.initial(), sample, label)
        for position, gradient in ours.items():
            other = theirs[position][0]
            norms = np.linalg.norm(gradient), np.linalg.norm(other)
            if all(norms):
                cosine = float((gradient * other).sum() / (norms[0] * norms[1]))
                cosines.setdefault(position, []).append(cosine)
                sizes.append(norms[0] / norms[1])
    assert len(cosines) == len(integer.initial()) - 1
    means = {position: float(np.mean(found)) for position, found in cosines.items()}
    assert min(means.values()) >= 0.97, means
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
