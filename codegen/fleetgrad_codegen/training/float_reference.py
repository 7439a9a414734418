# SPDX-License-Identifier: Apache-2.0
"""The same learning in float32: local SGD and FedAvg, for comparison with the integer fleet.

Same plan, same sample order, same batches; weights, gradients, activations and exchanged updates
are never rounded to integers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training.float_forward import Floats, dequantised, float_forward
from fleetgrad_codegen.training.float_loss import loss_slope, predictions
from fleetgrad_codegen.training.local import LocalPlan, batches

if TYPE_CHECKING:
    from fleetgrad_codegen.scheme.site import HeadSite


@dataclass(frozen=True, slots=True, eq=False)
class FloatHead:
    """The trained layer in real numbers.

    Attributes:
        weights: float32 [outputs, inputs].
        bias: float32 [outputs].
        positions: Rows per sample.
        relu: Whether a RELU is fused into the layer.
        pooled: Whether the mean over positions follows.
        beta: Factor on the logits.
        loss: What is minimised.
        logistic: Whether a LOGISTIC follows.
    """

    weights: Floats
    bias: Floats
    positions: int
    relu: bool
    pooled: bool
    beta: float
    loss: Loss
    logistic: bool = False

    @classmethod
    def of(cls, site: "HeadSite", loss: Loss) -> "FloatHead":
        """The layer of a model, its weights dequantised."""
        weights, bias = site.weights, site.bias
        assert weights.data is not None
        assert bias.data is not None
        return cls(
            dequantised(weights, weights.data).reshape(site.outputs, site.inputs),
            dequantised(bias, bias.data).reshape(-1),
            site.positions,
            site.activation is Activation.RELU,
            site.pooled,
            site.softmax.beta if site.softmax else 1.0,
            loss,
            site.logistic,
        )

    def outputs(self, features: Floats) -> tuple[Floats, Floats]:
        """What the loss sees, and the layer's own rows.

        Args:
            features: float32 [samples, positions, inputs].

        Returns:
            float32 [samples, 1 when pooled else positions, outputs], and the layer's rows,
            [samples, positions, outputs].
        """
        rows = features @ self.weights.T + self.bias
        if self.relu:
            rows = np.maximum(rows, 0)
        return (rows.mean(axis=1, keepdims=True) if self.pooled else rows), rows

    def predict(self, features: Floats) -> Array:
        """The label of each sample."""
        seen, _ = self.outputs(features)
        return predictions(self.loss, seen.reshape(len(seen), -1))

    def accuracy(self, features: Floats, labels: Array) -> float:
        """Share of samples whose label is predicted; NaN without samples."""
        return float((self.predict(features) == labels).mean()) if len(labels) else float("nan")

    def step(self, features: Floats, targets: Array, rate: float) -> "FloatHead":
        """One SGD step along the mean gradient of some samples.

        Args:
            features: float32 [samples, positions, inputs].
            targets: Labels [samples], or real vectors [samples, ...] for squared error.
            rate: Learning rate.
        """
        seen, rows = self.outputs(features)
        flat_seen = seen.reshape(len(seen), -1)
        slope: Array = loss_slope(
            self.loss, flat_seen, targets, beta=self.beta, logistic=self.logistic
        ).reshape(seen.shape)
        if self.pooled:
            slope = np.broadcast_to(slope / self.positions, rows.shape)
        if self.relu:
            slope = slope * (rows > 0)
        share = np.float32(rate / len(features))
        flat = slope.reshape(-1, slope.shape[2])
        return replace(
            self,
            weights=self.weights - share * (flat.T @ features.reshape(len(flat), -1)),
            bias=self.bias - share * flat.sum(axis=0),
        )


@dataclass(frozen=True, slots=True, eq=False)
class DeviceData:
    """One device's private samples, as the head sees them.

    Attributes:
        device_id: 64-bit identity; keys the sample order.
        features: Inputs of the head, [samples, positions, inputs].
        targets: Labels [samples], or vectors [samples, ...].
        eval_features: Held out, likewise.
        eval_targets: Held out, likewise.
    """

    device_id: int
    features: Floats
    targets: Array
    eval_features: Floats
    eval_targets: Array


def head_features(site: "HeadSite", inputs: Array) -> Floats:
    """What the head sees of samples, in float32; compute once, the layers before it are frozen.

    Args:
        site: Where the head is in the device's graph.
        inputs: int8 [samples, ...], without the batch dimension.

    Returns:
        float32 [samples, positions, inputs].
    """
    made = float_forward(site.graph, inputs, until=site.op.inputs[0])
    return made.reshape(len(inputs), site.positions, site.inputs)


def train_locally(
    head: FloatHead, features: Floats, targets: Array, *, plan: LocalPlan, device_id: int
) -> FloatHead:
    """What a device with a float unit would do in the round."""
    rate = plan.rate.real
    for indices, _ in batches(plan, device_id, len(features)):
        head = head.step(features[indices], targets[indices], rate)
    return head


@dataclass(frozen=True, slots=True)
class FloatRound:
    """How well the global model does after a round, on the devices' held-out samples.

    Attributes:
        accuracy: Over all devices' samples together.
        per_device: By device.
    """

    accuracy: float
    per_device: Mapping[int, float]


def federated_average(
    head: FloatHead, devices: Sequence[DeviceData], *, plan: LocalPlan, rounds: int
) -> tuple[FloatHead, list[FloatRound]]:
    """FedAvg with exact weights: every device, every round, weighted by its samples.

    Args:
        head: Where to start.
        devices: The fleet.
        plan: The terms of every round; ``round_number`` counts up from 1.
        rounds: How many.

    Returns:
        The final head, and how well it did before the first and after each round.
    """
    history = [evaluate_fleet(head, devices)]
    total = sum(len(device.features) for device in devices)
    for number in range(1, rounds + 1):
        terms = replace(plan, round_number=number)
        weights, bias = np.zeros(head.weights.shape), np.zeros(head.bias.shape)
        for device in devices:
            trained = train_locally(
                head, device.features, device.targets, plan=terms, device_id=device.device_id
            )
            share = len(device.features) / total
            weights += share * trained.weights
            bias += share * trained.bias
        head = replace(head, weights=weights.astype(np.float32), bias=bias.astype(np.float32))
        history.append(evaluate_fleet(head, devices))
    return head, history


def evaluate_fleet(head: FloatHead, devices: Sequence[DeviceData]) -> FloatRound:
    """Accuracy on the held-out samples, in all and by device."""
    per_device = {d.device_id: head.accuracy(d.eval_features, d.eval_targets) for d in devices}
    samples = sum(len(d.eval_targets) for d in devices)
    right = sum(
        int((head.predict(d.eval_features) == d.eval_targets).sum())
        for d in devices
        if len(d.eval_targets)
    )
    return FloatRound(right / samples if samples else float("nan"), per_device)
