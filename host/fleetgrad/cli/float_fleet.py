# SPDX-License-Identifier: Apache-2.0
"""The configured run in float32, on this machine: what the integer fleet is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fleetgrad import config as configs
from fleetgrad.bundle import Bundle
from fleetgrad.config import Config
from fleetgrad.data import DeviceData, partition, read
from fleetgrad.report import Reference
from fleetgrad_codegen.gradient.float_fleet import FleetSamples, federated_accuracy
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import DeepScheme, HeadSite, deep_training, device_head
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.float_reference import DeviceData as FloatDevice
from fleetgrad_codegen.training.float_reference import FloatHead, federated_average, head_features
from fleetgrad_codegen.training.local import LocalPlan

from .bundles import scheme_of


def float_fedavg(config: Config, bundle: Bundle, data: Sequence[DeviceData]) -> Reference:
    """FedAvg with the same plan, split and sample order, nothing ever rounded to integers.

    Args:
        config: The run.
        bundle: Its model, as deployed; with labels, so that accuracy means something.
        data: Every device's samples.
    """
    plan = LocalPlan(
        rate=LearningRate(*configs.learning_rate(config.train.learning_rate)),
        epochs=config.train.epochs,
        batch=config.train.batch,
        seed=config.train.seed,
        max_steps=config.train.max_steps,
    )
    scheme = scheme_of(config)
    if isinstance(scheme, DeepScheme):
        history = _deep_fedavg(scheme, bundle, data, plan=plan, rounds=config.rounds.count)
    else:
        history = _head_fedavg(bundle, data, plan=plan, rounds=config.rounds.count)
    return Reference(
        name="float32 FedAvg",
        learning_rate=config.train.learning_rate,
        accuracy=tuple(history),
    )


def _head_fedavg(
    bundle: Bundle, data: Sequence[DeviceData], *, plan: LocalPlan, rounds: int
) -> list[float]:
    """Accuracy before the first and after each round, where the last layer trains."""
    site, _ = device_head(bundle.model, bundle.name, Loss(bundle.loss))
    devices = [_device(site, bundle, one) for one in data if not one.empty]
    head = FloatHead.of(site, Loss(bundle.loss))
    _, history = federated_average(head, devices, plan=plan, rounds=rounds)
    return [entry.accuracy for entry in history]


def _deep_fedavg(
    scheme: DeepScheme,
    bundle: Bundle,
    data: Sequence[DeviceData],
    *,
    plan: LocalPlan,
    rounds: int,
) -> list[float]:
    """The same where more than the last layer trains."""
    loss = Loss(bundle.loss)
    network = deep_training(scheme, bundle.model, bundle.name, loss).float_network
    shape = bundle.input.shape[1:]
    fleet = [
        FleetSamples(
            one.device,
            one.train_x.reshape(-1, *shape),
            labels_of(one.train_y),
            one.eval_x.reshape(-1, *shape),
            labels_of(one.eval_y),
        )
        for one in data
        if not one.empty
    ]
    return federated_accuracy(network, fleet, plan=plan, rounds=rounds)


def read_devices(config: Config, bundle: Bundle) -> tuple[DeviceData, ...]:
    """Every device's samples, as a run with this config deals them."""
    data = read(config.data_path)
    return partition(data, config.data, bundle, devices=config.fleet.devices)


def _device(site: HeadSite, bundle: Bundle, data: DeviceData) -> FloatDevice:
    shape = bundle.input.shape[1:]
    return FloatDevice(
        device_id=data.device,
        features=head_features(site, data.train_x.reshape(-1, *shape)),
        targets=labels_of(data.train_y),
        eval_features=head_features(site, data.eval_x.reshape(-1, *shape)),
        eval_targets=labels_of(data.eval_y),
    )


def labels_of(raw: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> np.ndarray:
    """Little-endian labels of one or two bytes, as the data image holds them."""
    return raw.astype(np.int64) @ (256 ** np.arange(raw.shape[1]))
