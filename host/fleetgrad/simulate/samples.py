# SPDX-License-Identifier: Apache-2.0
"""Where the samples of a virtual fleet lie: in one pool, and lists of places in it; or nowhere.

A million devices do not get a million arrays: device d has the samples ``first[d] : first[d + 1]``
of a list, or they are drawn in C whenever they are needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.data import DeviceData
from fleetgrad.errors import DataError


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the held-out samples of all devices.

    Attributes:
        inputs: Of the pool: int8 [m, sample bytes], contiguous.
        targets: Of the pool: uint8 [m, target bytes], contiguous.
        first: uint64 [devices + 1]; empty where samples are drawn.
        rows: uint32, places in the pool; None where the pool itself is in the devices' order.
    """

    inputs: NDArray[np.int8]
    targets: NDArray[np.uint8]
    first: NDArray[np.uint64]
    rows: NDArray[np.uint32] | None = None

    def __post_init__(self) -> None:
        """C reads them as they lie."""
        for array in (self.inputs, self.targets, self.first, self.rows):
            assert array is None or array.flags.c_contiguous

    @property
    def counts(self) -> NDArray[np.uint64]:
        """How many samples each device has."""
        return np.diff(self.first)


@dataclass(frozen=True)
class Drawn:
    """Samples that are functions of (seed, device, number): SPEC.md, "Virtual fleets".

    Attributes:
        seed: Of the samples, not of the training.
        classes: Labels; the training pool has one input for each.
        train_least: Samples to train on, at least.
        train_most: And at most.
        eval_count: Held-out samples of each device.
        own: How many of 256 samples are of the device's own class: 0 for alike devices.
        noise: Largest deviation from the class's input, 0 to 127.
    """

    seed: int
    classes: int
    train_least: int
    train_most: int
    eval_count: int = 0
    own: int = 0
    noise: int = 64


@dataclass(frozen=True, eq=False)
class FleetSamples:
    """The samples of a fleet whose device d = 0, 1, .. has the id first_id + d.

    Attributes:
        devices: How many.
        target_kind: As in a data image.
        target_bytes: Of each target.
        train: To train on.
        held: Held out.
        drawn: Where samples are drawn: then `train` has nothing but each class's input.
        first_id: Id of the first device.
    """

    devices: int
    target_kind: int
    target_bytes: int
    train: Part
    held: Part
    drawn: Drawn | None = None
    first_id: int = 1

    @property
    def most(self) -> tuple[int, int]:
        """The most samples that any device trains on, and holds out."""
        if self.drawn is not None:
            return self.drawn.train_most, self.drawn.eval_count
        return (
            int(self.train.counts.max(initial=0)),
            int(self.held.counts.max(initial=0)),
        )

    def train_counts(self) -> NDArray[np.int64]:
        """How many samples each device trains on."""
        if self.drawn is None:
            return self.train.counts.astype(np.int64)
        drawn = self.drawn
        ids = np.arange(self.devices, dtype=np.uint64) + np.uint64(self.first_id)
        low, high = (ids & np.uint64(0xFFFFFFFF)).astype(np.uint32), (ids >> np.uint64(32))
        key = mix32(low ^ mix32(high.astype(np.uint32)))
        key = mix32(np.uint32(drawn.seed) ^ mix32(np.uint32(0xFFFFFFFF) ^ key))
        spread = np.uint32(drawn.train_most - drawn.train_least + 1)
        counts = drawn.train_least + (mix32(key + np.uint32(2)) % spread).astype(np.int64)
        return np.asarray(counts, np.int64)

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        arrays = [
            array
            for part in (self.train, self.held)
            for array in (part.inputs, part.targets, part.first, part.rows)
            if array is not None
        ]
        return sum(array.nbytes for array in {id(array): array for array in arrays}.values())


def mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The hash that all random numbers come from (SPEC.md, "Random numbers and sample order")."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def nothing(sample_bytes: int, target_bytes: int, devices: int = 0) -> Part:
    """A part in which no device has a sample."""
    return Part(
        np.zeros((0, sample_bytes), np.int8),
        np.zeros((0, target_bytes), np.uint8),
        np.zeros(devices + 1 if devices else 0, np.uint64),
    )


def of_devices(data: Sequence[DeviceData]) -> FleetSamples:
    """The fleet of a data set that was split by user: ids are 1, 2, .. in the order given.

    Raises:
        DataError: The ids are others.
    """
    if [one.device for one in data] != list(range(1, len(data) + 1)):
        raise DataError("a virtual fleet's device ids are 1, 2, ..", expected="every id once")

    def part(inputs: Sequence[NDArray[np.int8]], targets: Sequence[NDArray[np.uint8]]) -> Part:
        first = np.zeros(len(data) + 1, np.uint64)
        first[1:] = np.cumsum([len(array) for array in inputs])
        return Part(
            np.ascontiguousarray(np.concatenate(inputs)),
            np.ascontiguousarray(np.concatenate(targets)),
            first,
        )

    return FleetSamples(
        devices=len(data),
        target_kind=data[0].target_kind,
        target_bytes=data[0].train_y.shape[1],
        train=part([one.train_x for one in data], [one.train_y for one in data]),
        held=part([one.eval_x for one in data], [one.eval_y for one in data]),
    )
