# SPDX-License-Identifier: Apache-2.0
"""What one device does in one round, from the parameters it receives to those it ends with."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.errors import DataError
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import Ints, LearningRate
from fleetgrad_codegen.training.head import Head
from fleetgrad_codegen.training.loss import loss_and_gradient
from fleetgrad_codegen.training.update import shadow_of, update


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """The terms of a round, as a device gets them.

    Attributes:
        rate: Learning rate.
        epochs: Passes over the device's samples.
        batch: Samples of one update.
        seed: Of the run.
        round_number: Counted from 1.
        max_steps: Most updates; 0 for no limit.
    """

    rate: LearningRate
    epochs: int = 1
    batch: int = 1
    seed: int = 0
    round_number: int = 1
    max_steps: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """What is trained.

    Attributes:
        masters: int16 values [outputs, inputs], in 1/256 of the int8 weight's unit.
        bias: int32 values [outputs].
    """

    masters: Ints
    bias: Ints


@dataclass(frozen=True, slots=True, eq=False)
class LocalResult:
    """How a round ended.

    Attributes:
        parameters: What the device has learned.
        losses: Of each sample visited, in order, in the loss's own unit.
        steps: Number of updates.
    """

    parameters: Parameters
    losses: Ints
    steps: int


def batches(plan: LocalPlan, device_id: int, samples: int) -> Iterator[tuple[Ints, int]]:
    """The batches of a round in order.

    Args:
        plan: The round's terms.
        device_id: 64-bit identity of the device.
        samples: How many samples it has.

    Yields:
        Sample indices of one update, and the key of its random numbers.
    """
    key = rng.round_key(plan.seed, plan.round_number, device_id)
    step = 0
    for epoch in range(plan.epochs if samples else 0):
        order = rng.sample_order(key, epoch, samples)
        for start in range(0, samples, plan.batch):
            if plan.max_steps and step >= plan.max_steps:
                return
            yield order[start : start + plan.batch], rng.step_key(key, step)
            step += 1


def train(
    head: Head,
    parameters: Parameters,
    features: Ints,
    targets: Ints,
    *,
    plan: LocalPlan,
    device_id: int,
) -> LocalResult:
    """Trains a head as a device does, bit for bit.

    Args:
        head: The layer.
        parameters: Where to start.
        features: int8 inputs of the layer, [samples, ...].
        targets: Labels [samples], or int8 vectors [samples, ...] for squared error.
        plan: The round's terms.
        device_id: 64-bit identity of the device.

    Returns:
        What it has learned, and how it went.

    Raises:
        DataError: A label is no class of the head.
    """
    check_labels(head, targets)
    masters, bias = parameters.masters, parameters.bias
    losses: list[Ints] = []
    for indices, key in batches(plan, device_id, len(features)):
        centred, acc = head.accumulate(features[indices], shadow_of(masters), bias)
        loss, gradient = loss_and_gradient(head, targets[indices], acc)
        losses.append(loss)
        masters, bias = update(
            head,
            masters=masters,
            bias=bias,
            centred=centred,
            gradient=gradient,
            rate=plan.rate,
            key=key,
        )
    every = np.concatenate(losses) if losses else np.zeros(0, np.int64)
    return LocalResult(Parameters(masters, bias), every, len(losses))


def check_labels(head: Head, targets: Ints) -> None:
    """Makes sure that every label is a class.

    Raises:
        DataError: One is not.
    """
    if not head.classes or not len(targets):
        return
    low, high = int(np.min(targets)), int(np.max(targets))
    if low < 0 or high >= head.classes:
        raise DataError(
            f"labels from {low} to {high}",
            expected=f"0 to {head.classes - 1}",
            hint="set scheme.classes to give the model a layer for more classes",
        )
