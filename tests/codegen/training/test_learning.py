# SPDX-License-Identifier: Apache-2.0
"""Integers learn as well as float32: same plan, same order, each at its best learning rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.ops import interpret, run_ops
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import HeadSite, LastLayer, device_head
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.float_reference import FloatHead, head_features, train_locally
from fleetgrad_codegen.training.head import MASTER_UNITS, Head
from fleetgrad_codegen.training.local import LocalPlan, Parameters, train
from fleetgrad_codegen.training.update import shadow_of

CE = Loss.SOFTMAX_CROSS_ENTROPY
RATES = (0.01, 0.03)
SEEDS = (1, 2, 3)
EPOCHS = 5


@dataclass(frozen=True)
class Samples:
    """Images and labels."""

    x: np.ndarray
    y: np.ndarray


class Learner:
    """A model's head, with the features of training and held-out samples computed once."""

    def __init__(self, model: bytes, learn: Samples, held: Samples) -> None:
        self.site, self.head = device_head(LastLayer().adapt(model, "m"), "m", CE)
        self.learn, self.held = learn, held
        self.features = integer_features(self.site, learn.x)
        self.held_features = integer_features(self.site, held.x)
        self.real = head_features(self.site, learn.x)
        self.held_real = head_features(self.site, held.x)

    def integers(self, plan: LocalPlan) -> float:
        """Accuracy after training in integers, in percent."""
        start = initial(self.site, self.head)
        done = train(self.head, start, self.features, self.learn.y, plan=plan, device_id=1)
        return 100 * self.accuracy(done.parameters)

    def accuracy(self, parameters: Parameters) -> float:
        """Share of held-out samples that the int8 model gets right."""
        graph, op = self.site.graph, self.site.op
        weights = shadow_of(parameters.masters).astype(np.int8).reshape(self.site.weights.shape)
        ops = graph.ops[self.site.position :]
        tensors = list(graph.tensors)
        for index, data in ((op.inputs[1], weights), (op.inputs[2], parameters.bias)):
            tensors[index] = replaced(tensors[index], data)
        learned = type(graph)(graph.name, tuple(tensors), ops, (op.inputs[0],), graph.outputs)
        shape = self.site.source.shape
        guesses = [
            int(interpret(learned, [f.reshape(shape)])[0].argmax()) for f in self.held_features
        ]
        return float((np.array(guesses) == self.held.y).mean())

    def floats(self, plan: LocalPlan) -> float:
        """Accuracy after training in float32, in percent."""
        start = FloatHead.of(self.site, CE)
        done = train_locally(start, self.real, self.learn.y, plan=plan, device_id=1)
        return 100 * done.accuracy(self.held_real, self.held.y)


def replaced(tensor, data: np.ndarray):
    """The tensor with other values."""
    return replace(tensor, data=data.astype(tensor.dtype.numpy).reshape(tensor.shape))


def initial(site: HeadSite, head: Head) -> Parameters:
    """The parameters of the exported model."""
    masters = site.weights.data.astype(np.int64) * MASTER_UNITS
    bias = site.bias.data.astype(np.int64).reshape(-1)
    return Parameters(masters.reshape(head.outputs, head.inputs), bias)


def integer_features(site: HeadSite, x: np.ndarray) -> np.ndarray:
    """int8 inputs of the head, one row per sample."""
    graph, wanted = site.graph, site.op.inputs[0]
    before = graph.ops[: site.position]
    return np.stack(
        [run_ops(graph, before, {graph.inputs[0]: s[None]})[wanted].reshape(-1) for s in x]
    )


@pytest.fixture(scope="module")
def digits(checkout: Path) -> Learner:
    folder = checkout / "examples" / "digits"
    data = np.load(folder / "digits.npz", allow_pickle=False)
    x, y, held = data["x"], data["y"].astype(np.int64), data["test"]
    model = (folder / "digits.tflite").read_bytes()
    return Learner(model, Samples(x[~held], y[~held]), Samples(x[held], y[held]))


@pytest.mark.slow
def test_integer_training_matches_float_at_the_best_learning_rate(digits: Learner) -> None:
    table = {}
    for rate in RATES:
        plans = [LocalPlan(LearningRate.of(rate), epochs=EPOCHS, seed=seed) for seed in SEEDS]
        table[rate] = (
            float(np.mean([digits.integers(plan) for plan in plans])),
            float(np.mean([digits.floats(plan) for plan in plans])),
        )
    best_integer = max(integer for integer, _ in table.values())
    best_float = max(real for _, real in table.values())
    assert best_integer >= best_float - 0.5, table


def test_training_is_repeatable_and_depends_on_the_seed(digits: Learner) -> None:
    ends = []
    for seed in (1, 1, 2):
        plan = LocalPlan(LearningRate.of(0.02), seed=seed, max_steps=60)
        start = initial(digits.site, digits.head)
        done = train(digits.head, start, digits.features, digits.learn.y, plan=plan, device_id=9)
        assert done.steps == 60
        ends.append(done.parameters.masters.tobytes())
    assert ends[0] == ends[1] != ends[2]


def test_the_loss_falls(digits: Learner) -> None:
    plan = LocalPlan(LearningRate.of(0.02), epochs=2)
    start = initial(digits.site, digits.head)
    done = train(digits.head, start, digits.features, digits.learn.y, plan=plan, device_id=9)
    half = len(done.losses) // 2
    assert done.losses[half:].mean() < 0.8 * done.losses[:half].mean()
