# SPDX-License-Identifier: Apache-2.0
"""Fleets larger than the data set: samples dealt by a Dirichlet distribution, or drawn."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fleetgrad.bundle import Bundle
from fleetgrad.data import DeviceData
from fleetgrad.errors import DataError
from fleetgrad.simulate.samples import Drawn, FleetSamples, Part, mix32, nothing

_LABEL = 1
_DEALT = 4096  # devices at a time: what memory the dealing takes does not grow with the fleet
_FURTHEST = 100  # of a class's input from the middle of int8's range


def dealt(
    data: Sequence[DeviceData], devices: int, samples: int, alpha: float, seed: int
) -> FleetSamples:
    """Deals a data set's training samples to a fleet of any size, with replacement.

    Each device has its own mixture of classes, drawn from a symmetric Dirichlet distribution (Hsu
    et al. 2019, arXiv 1909.06335); the smaller alpha is, the fewer classes a device sees.

    Args:
        data: The split data set.
        devices: How many devices.
        samples: Of each device.
        alpha: Greater than 0.
        seed: Of mixtures and draws.

    Raises:
        DataError: The targets are no labels.
    """
    if data[0].target_kind != _LABEL:
        raise DataError(
            "only samples with labels can be dealt by class",
            where="simulate.data",
            hint="simulate.data = 'user', with as many devices as there are users",
        )
    inputs = np.ascontiguousarray(np.concatenate([one.train_x for one in data]))
    targets = np.ascontiguousarray(np.concatenate([one.train_y for one in data]))
    labels = targets.astype(np.int64) @ (256 ** np.arange(targets.shape[1]))
    classes, place = np.unique(labels, return_inverse=True)
    by_class = np.argsort(place, kind="stable")
    sizes = np.bincount(place)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.empty((devices, samples), np.uint32)
    for block, begin in enumerate(range(0, devices, _DEALT)):
        part = rows[begin : begin + _DEALT]
        dice = np.random.Generator(np.random.Philox(key=[seed, block]))
        # Always whole blocks: a device's samples do not depend on how many devices follow.
        # Logarithms, as gammas of a small alpha underflow.
        shape = (_DEALT, len(classes))
        logs = np.log(dice.gamma(alpha + 1, size=shape)) + np.log(dice.random(shape)) / alpha
        mixture = np.exp(logs - logs.max(axis=1, keepdims=True))
        edges = np.cumsum(mixture / mixture.sum(axis=1, keepdims=True), axis=1)
        picks = dice.random((_DEALT, samples))
        chosen = (picks[:, :, None] >= edges[:, None, :-1]).sum(axis=2)
        within = (dice.random((_DEALT, samples)) * sizes[chosen]).astype(np.int64)
        part[:] = by_class[starts[chosen] + within][: len(part)]
    first = np.arange(devices + 1, dtype=np.uint64) * np.uint64(samples)
    return FleetSamples(
        devices=devices,
        target_kind=_LABEL,
        target_bytes=targets.shape[1],
        train=Part(inputs, targets, first, rows.reshape(-1)),
        held=nothing(inputs.shape[1], targets.shape[1], devices),
    )


def drawn(bundle: Bundle, devices: int, terms: Drawn) -> FleetSamples:
    """A fleet whose samples C computes whenever it needs them: no memory for any device.

    Args:
        bundle: The model: its input's size.
        devices: How many devices.
        terms: How samples are drawn.

    Raises:
        DataError: The model has no labels, or more than a byte names.
    """
    if not bundle.has_labels or not 1 < terms.classes <= 256:
        raise DataError(
            "samples can be drawn for models with 2 to 256 classes only",
            where="simulate.data",
            hint="simulate.data = 'user' or 'dirichlet'",
        )
    size = int(np.prod(bundle.input.shape))
    pool = Part(_centres(terms, size), np.zeros((0, 1), np.uint8), np.zeros(0, np.uint64))
    return FleetSamples(devices, _LABEL, 1, pool, nothing(size, 1), terms)


def _centres(terms: Drawn, size: int) -> NDArray[np.int8]:
    words = np.arange(terms.classes * size, dtype=np.uint32) ^ mix32(np.full(1, terms.seed, "u4"))
    spread = np.uint32(2 * _FURTHEST + 1)
    values = (mix32(words) % spread).astype(np.int64) - _FURTHEST
    return np.ascontiguousarray(values.reshape(terms.classes, size).astype(np.int8))
