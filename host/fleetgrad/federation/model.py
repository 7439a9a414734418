# SPDX-License-Identifier: Apache-2.0
"""The global model: exact integers from the first round to the last."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Shape
from fleetgrad.errors import BundleError

FRACTION_BITS = 16  # what the server keeps below one unit of the device's parameters
BIAS_LIMIT = 1 << 30
MASTER_LIMIT = 127 * 256
GROWTH_LIMIT = 3
"""Activation scales double so often at the most, in a model's whole life."""


@dataclass(frozen=True)
class Scale:
    """Real values of a segment's units.

    Attributes:
        values: One, or one for each channel.
        run: How many elements of a channel follow each other; then comes the next channel's.
    """

    values: tuple[float, ...]
    run: int = 1


@dataclass(frozen=True)
class Layout:
    """How a parameter vector is made up.

    Attributes:
        bundle_digest: 32 bytes: which model and scheme the parameters belong to.
        segments: Kind (``bias`` or ``weight``) and element count, biases first.
        ranges: Number of activation scales that may grow.
        units: For every segment, the range that its unit grows with, or None; empty: none does.
        scales: For every segment, what its units stand for, with activation scales as exported;
            empty: not known.
    """

    bundle_digest: bytes
    segments: tuple[tuple[str, int], ...]
    ranges: int = 0
    units: tuple[int | None, ...] = ()
    scales: tuple[Scale, ...] = ()

    @property
    def shape(self) -> Shape:
        """What updates consist of."""
        return Shape(self.segments, self.ranges)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Elements of each segment."""
        return tuple(count for _, count in self.segments)

    @property
    def count(self) -> int:
        """Elements in all."""
        return sum(count for _, count in self.segments)

    @property
    def bias_count(self) -> int:
        """Elements that are int32; the rest, after them, are int16."""
        return sum(count for kind, count in self.segments if kind == "bias")


@dataclass(frozen=True)
class GlobalModel:
    """One version of the global parameters.

    Attributes:
        layout: What the numbers are.
        values: One int64 for every parameter, in 2^-16 of the device's unit; read-only.
        exponents: How often each activation scale has been doubled since the model was exported.
    """

    layout: Layout
    values: NDArray[np.int64]
    exponents: bytes = b""

    def __post_init__(self) -> None:
        """Numbers that are shared by many must not change."""
        assert self.values.dtype == np.int64
        assert self.values.shape == (self.layout.count,)
        assert len(self.exponents) == self.layout.ranges
        assert max(self.exponents, default=0) <= GROWTH_LIMIT
        self.values.flags.writeable = False

    @property
    def digest(self) -> bytes:
        """SHA-256 over the bundle's digest and `to_bytes`: 32 bytes."""
        return hashlib.sha256(self.layout.bundle_digest + self.to_bytes()).digest()

    @property
    def tag(self) -> int:
        """The first four bytes of the digest, as devices carry it."""
        return int.from_bytes(self.digest[:4], "little")

    def real_units(self) -> NDArray[np.float64]:
        """What one unit of each parameter stands for, float64 [d].

        Raises:
            BundleError: The bundle does not say.
        """
        layout = self.layout
        if len(layout.scales) != len(layout.segments):
            raise BundleError(
                "the bundle does not say what its parameters' units stand for",
                expected="a scale for each segment of the manifest",
                hint="build the bundle again",
            )
        parts = []
        units = layout.units or (None,) * len(layout.segments)
        for (_, count), unit, scale in zip(layout.segments, units, layout.scales, strict=True):
            channels = np.repeat(np.array(scale.values), scale.run)
            doubled = 1 if unit is None else 1 << self.exponents[unit]
            parts.append(np.resize(channels, count) * float(doubled))
        return np.concatenate(parts)

    def vector(self) -> bytes:
        """The parameter vector for the devices: rounded half up, clamped, little-endian."""
        whole = (self.values + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS
        split = self.layout.bias_count
        biases = np.clip(whole[:split], -BIAS_LIMIT, BIAS_LIMIT).astype("<i4")
        masters = np.clip(whole[split:], -MASTER_LIMIT, MASTER_LIMIT).astype("<i2")
        return bytes(biases.tobytes() + masters.tobytes() + self.exponents)

    def to_bytes(self) -> bytes:
        """The values as little-endian int64, then the exponents."""
        return self.values.astype("<i8", copy=False).tobytes() + self.exponents

    def doublings_since(self, exponents: bytes) -> NDArray[np.int64]:
        """How often the unit of each parameter has doubled since a version with these exponents.

        What was measured in the units of that version is divided by 2 to this power.
        """
        more = [new - old for new, old in zip(self.exponents, exponents, strict=True)]
        units = self.layout.units or (None,) * len(self.layout.segments)
        return np.repeat(
            np.array([0 if unit is None else more[unit] for unit in units], np.int64),
            [count for _, count in self.layout.segments],
        )

    def grown(self, exponents: bytes) -> "GlobalModel":
        """The same model with activation scales doubled more often; real biases stay.

        Args:
            exponents: None below the present one.
        """
        more = [new - old for new, old in zip(exponents, self.exponents, strict=True)]
        assert min(more, default=0) >= 0
        values = self.values.copy()
        start = 0
        for (_, count), unit in zip(self.layout.segments, self.layout.units, strict=True):
            if unit is not None and more[unit]:
                part = values[start : start + count]
                values[start : start + count] = (part + (1 << (more[unit] - 1))) >> more[unit]
            start += count
        return GlobalModel(self.layout, values, exponents)


def from_vector(layout: Layout, vector: bytes) -> GlobalModel:
    """The global model whose broadcast is ``vector``, with nothing below the devices' unit."""
    split, end = 4 * layout.bias_count, len(vector) - layout.ranges
    biases = np.frombuffer(vector[:split], "<i4").astype(np.int64)
    masters = np.frombuffer(vector[split:end], "<i2").astype(np.int64)
    values = np.concatenate([biases, masters]) << FRACTION_BITS
    return GlobalModel(layout, values, vector[end:])


def from_bytes(layout: Layout, data: bytes) -> GlobalModel:
    """The global model from what `GlobalModel.to_bytes` gave."""
    end = 8 * layout.count
    return GlobalModel(layout, np.frombuffer(data[:end], "<i8").astype(np.int64), data[end:])
