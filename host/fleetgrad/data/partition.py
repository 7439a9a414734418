# SPDX-License-Identifier: Apache-2.0
"""Which samples lie on which device, and which of them are held out."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.bundle import Bundle
from fleetgrad.config import DataConfig
from fleetgrad.data.dataset import Dataset
from fleetgrad.data.quantise import labels, quantise_input, vectors
from fleetgrad.errors import DataError

LABEL, VECTOR, INPUT = 1, 2, 3  # the data image's target_kind


@dataclass(frozen=True)
class DeviceData:
    """What one device holds.

    Attributes:
        device: Device id, counted from 1 in the order of the users.
        name: The user.
        train_x: n x sample bytes, int8.
        train_y: n x target bytes, uint8; labels little-endian. n x 0 where the target is the input.
        eval_x: The same of the held-out samples.
        eval_y: The same.
        target_kind: 1 label, 2 vector, 3 the input itself.
    """

    device: int
    name: str
    train_x: NDArray[np.int8]
    train_y: NDArray[np.uint8]
    eval_x: NDArray[np.int8]
    eval_y: NDArray[np.uint8]
    target_kind: int

    @property
    def empty(self) -> bool:
        """There is nothing to train on: the device takes no part."""
        return len(self.train_x) == 0


def partition(
    data: Dataset, config: DataConfig, bundle: Bundle, *, devices: int = 0
) -> tuple[DeviceData, ...]:
    """Splits a data set over devices: one user, one device.

    Args:
        data: The data set.
        config: Users, held-out share, seed, limit, target.
        bundle: The model that the samples are for.
        devices: How many users take part, in their order; 0 for all.

    Returns:
        One entry for every device; a device may be empty.

    Raises:
        DataError: When a sample, label or user does not fit.
    """
    names = _chosen(data, config, devices)
    x = quantise_input(data.x, bundle.input, where=f"{data.source}: x")
    kind, y = _targets(data, config, bundle)
    parts = []
    for number, name in enumerate(names, start=1):
        index = np.flatnonzero(data.user == name)
        order = _order(config.seed, name, len(index))
        if config.limit:
            order = order[: config.limit]
        train, held = _split(data, config, index, order)
        parts.append(DeviceData(number, name, x[train], y[train], x[held], y[held], kind))
    if all(part.empty for part in parts):
        raise DataError(
            "no device has a sample to train on",
            where=data.source,
            hint="lower data.holdout, or check the test column",
        )
    return tuple(parts)


def _chosen(data: Dataset, config: DataConfig, devices: int) -> tuple[str, ...]:
    known = data.users
    names = config.users or known
    for name in names:
        if name not in known:
            raise DataError(
                f"user {name} has no samples",
                where=f"{data.source}: user",
                expected=f"one of {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}",
                hint="correct data.users",
            )
    if len(set(names)) != len(names):
        raise DataError("a user is named twice", where="data.users", expected="every user once")
    if devices > len(names):
        raise DataError(
            f"{devices} devices, but only {len(names)} users",
            where=f"{data.source}: user",
            expected="a user for every device",
            hint=f"fleet.devices = {len(names)} or 0",
        )
    return names[:devices] if devices else names


def _targets(data: Dataset, config: DataConfig, bundle: Bundle) -> tuple[int, NDArray[np.uint8]]:
    """The image's target kind and n x target bytes."""
    where = f"{data.source}: y"
    if config.target == "input":
        if bundle.target_kind != "vector":
            raise DataError(
                "data.target = 'input' needs a model that learns vectors",
                where="data.target",
                hint="scheme.loss = 'squared_error'",
            )
        if np.prod(bundle.input.shape) != np.prod(bundle.output.shape) or (
            bundle.input.scale,
            bundle.input.zero_point,
        ) != (bundle.output.scale, bundle.output.zero_point):
            return VECTOR, _bytes(_input_as_output(data, bundle))
        return INPUT, np.zeros((len(data.x), 0), np.uint8)
    if data.y is None:
        raise DataError("the data set has no array y", where=data.source, expected="arrays x and y")
    if bundle.target_kind == "label":
        values = labels(data.y, bundle, where=where)
        width = 1 if bundle.classes <= 256 else 2
        return LABEL, _bytes(values.astype("<u2" if width == 2 else "u1")[:, np.newaxis])
    return VECTOR, _bytes(vectors(data.y, bundle.output, where=where))


def _input_as_output(data: Dataset, bundle: Bundle) -> NDArray[np.int8]:
    """The samples once more, in the output's own quantisation: what an autoencoder should give."""
    where = f"{data.source}: x as target"
    if np.issubdtype(data.x.dtype, np.floating):
        return vectors(data.x, bundle.output, where=where)
    inputs = quantise_input(data.x, bundle.input, where=f"{data.source}: x").astype(np.float32)
    real = (inputs - np.float32(bundle.input.zero_point)) * np.float32(bundle.input.scale)
    return vectors(real.reshape(data.x.shape), bundle.output, where=where)


def _bytes(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    contiguous = np.ascontiguousarray(values)
    return contiguous.view(np.uint8).reshape(len(contiguous), -1)


def _order(seed: int, name: str, count: int) -> NDArray[np.intp]:
    """A permutation that depends on nothing but its arguments: no library's generator."""
    keys = [hashlib.sha256(f"{seed}/{name}/{i}".encode()).digest() for i in range(count)]
    return np.array(sorted(range(count), key=keys.__getitem__), dtype=np.intp)


def _split(
    data: Dataset, config: DataConfig, index: NDArray[np.intp], order: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to train on and rows held out, both in the order of the file."""
    kept = index[np.sort(order)]
    if data.test is not None:
        held = data.test[kept]
        return kept[~held], kept[held]
    count = round(len(order) * config.holdout)
    chosen = np.isin(kept, index[order[:count]])
    return kept[~chosen], kept[chosen]
