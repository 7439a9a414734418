# SPDX-License-Identifier: Apache-2.0
"""The global model: exact integers from the first round to the last."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRACTION_BITS = 16  # what the server keeps below one unit of the device's parameters
BIAS_LIMIT = 1 << 30
MASTER_LIMIT = 127 * 256


@dataclass(frozen=True)
class Layout:
    """How a parameter vector is made up.

    Attributes:
        bundle_digest: 32 bytes: which model and scheme the parameters belong to.
        segments: Kind (``bias`` or ``weight``) and element count, biases first.
    """

    bundle_digest: bytes
    segments: tuple[tuple[str, int], ...]

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
    """

    layout: Layout
    values: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Numbers that are shared by many must not change."""
        assert self.values.dtype == np.int64
        assert self.values.shape == (self.layout.count,)
        self.values.flags.writeable = False

    @property
    def digest(self) -> bytes:
        """SHA-256 over the bundle's digest and the values as little-endian int64: 32 bytes."""
        values = self.values.astype("<i8", copy=False).tobytes()
        return hashlib.sha256(self.layout.bundle_digest + values).digest()

    @property
    def tag(self) -> int:
        """The first four bytes of the digest, as devices carry it."""
        return int.from_bytes(self.digest[:4], "little")

    def vector(self) -> bytes:
        """The parameter vector for the devices: rounded half up, clamped, little-endian."""
        whole = (self.values + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS
        split = self.layout.bias_count
        biases = np.clip(whole[:split], -BIAS_LIMIT, BIAS_LIMIT).astype("<i4")
        masters = np.clip(whole[split:], -MASTER_LIMIT, MASTER_LIMIT).astype("<i2")
        return bytes(biases.tobytes() + masters.tobytes())


def from_vector(layout: Layout, vector: bytes) -> GlobalModel:
    """The global model whose broadcast is ``vector``, with nothing below the devices' unit."""
    split = 4 * layout.bias_count
    biases = np.frombuffer(vector[:split], "<i4").astype(np.int64)
    masters = np.frombuffer(vector[split:], "<i2").astype(np.int64)
    return GlobalModel(layout, np.concatenate([biases, masters]) << FRACTION_BITS)


def from_bytes(layout: Layout, data: bytes) -> GlobalModel:
    """The global model from its values as little-endian int64."""
    return GlobalModel(layout, np.frombuffer(data, "<i8").astype(np.int64))
