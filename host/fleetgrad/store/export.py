# SPDX-License-Identifier: Apache-2.0
"""A version as a .tflite file, and the difference between two versions."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from fleetgrad.bundle import Bundle, RangeSpec, Segment
from fleetgrad.errors import BundleError
from fleetgrad.federation.model import GlobalModel


@dataclass(frozen=True)
class Difference:
    """How one trained tensor differs between two versions.

    Attributes:
        name: The tensor.
        kind: ``bias`` or ``weight``.
        count: Elements.
        changed: Elements whose exported value differs.
        largest: Largest difference, in the device's unit: a bias's own, or 1/256 of an int8 weight.
        mean: Mean absolute difference in that unit.
    """

    name: str
    kind: str
    count: int
    changed: int
    largest: float
    mean: float


def export(bundle: Bundle, model: GlobalModel) -> bytes:
    """The bundle's model file with the version's weights in place of its own.

    Args:
        bundle: Where the model file and the places of its weights come from.
        model: The version.

    Returns:
        A complete .tflite; it computes what the devices' own evaluation computes.

    Raises:
        BundleError: When the model file has no place for a trained tensor.
    """
    data = bytearray(bundle.model)
    values_of = exported(bundle, model)
    for adapter in bundle.adapters:
        span = slice(adapter.tflite_offset, adapter.tflite_offset + prod(adapter.shape))
        frozen = np.frombuffer(data[span], np.int8).reshape(adapter.shape)
        data[span] = merged(frozen, values_of[adapter.down], values_of[adapter.up]).tobytes()
    merged_places = {place for a in bundle.adapters for place in (a.down, a.up)}
    for place, (segment, values) in enumerate(zip(bundle.segments, values_of, strict=True)):
        if place in merged_places:
            continue
        if segment.tflite_offset is None:
            raise BundleError(
                f"the model file has no place for the tensor {segment.name}",
                where="manifest.json: segments",
                hint="fleetgrad build makes a new bundle",
            )
        span = slice(
            segment.tflite_offset,
            segment.tflite_offset + segment.tflite_count * values.itemsize,
        )
        data[span] = placed(segment, values, bytes(data[span])).tobytes()
    for found, exponent in zip(bundle.ranges, model.exponents, strict=True):
        _grow(data, found, exponent)
    return bytes(data)


def merged(
    frozen: NDArray[np.int8], down: NDArray[np.integer], up: NDArray[np.integer]
) -> NDArray[np.int8]:
    """Weights with a low-rank difference, as devices compute with them.

    Args:
        frozen: [outputs, inputs].
        down: rank x inputs, in 2^-14.
        up: outputs x rank, in 1/256 of the weight's unit.
    """
    outputs, inputs = frozen.shape
    product = up.reshape(outputs, -1).astype(np.int64) @ down.reshape(-1, inputs).astype(np.int64)
    master = frozen.astype(np.int64) * 256 + ((product + (1 << 13)) >> 14)
    weights: NDArray[np.int8] = np.clip((master + 128) >> 8, -127, 127).astype(np.int8)
    return weights


def _grow(data: bytearray, found: RangeSpec, exponent: int) -> None:
    """Doubles scales, and halves biases that do not train, to nearest, halves up."""
    if not exponent:
        return
    for offset, count in found.scales:
        scales = np.frombuffer(data, "<f4", count, offset) * np.float32(2**exponent)
        data[offset : offset + 4 * count] = scales.astype("<f4").tobytes()
    for offset, nbytes in found.biases:
        biases = np.frombuffer(data, "<i4", nbytes // 4, offset).astype(np.int64)
        halved = (biases + (1 << (exponent - 1))) >> exponent
        data[offset : offset + nbytes] = halved.astype("<i4").tobytes()


def placed(segment: Segment, values: NDArray[np.integer], before: bytes) -> NDArray[np.integer]:
    """A tensor of the model file with what was trained of it in place, in the file's own order.

    Args:
        segment: What was trained: all of the tensor, or some channels, in the device's order.
        values: As the model file holds them.
        before: The tensor's bytes in the file.
    """
    if not segment.places:
        return values
    whole = np.frombuffer(before, values.dtype).reshape(segment.tflite_shape).copy()
    places = [
        range(size) if place is None else place
        for place, size in zip(segment.places, segment.shape, strict=True)
    ]
    whole[np.ix_(*places)] = values.reshape(segment.shape)
    return whole


def exported(bundle: Bundle, model: GlobalModel) -> list[NDArray[np.integer]]:
    """Every segment as a model file holds it: int32 biases, int8 weights; factors as they are."""
    vector = model.vector()
    arrays: list[NDArray[np.integer]] = []
    for segment in bundle.segments:
        raw = vector[segment.offset : segment.offset + segment.count * segment.item_bytes]
        if segment.kind == "bias":
            arrays.append(np.frombuffer(raw, "<i4"))
        elif segment.kind in {"down", "up"}:
            arrays.append(np.frombuffer(raw, "<i2"))
        else:
            rounded = (np.frombuffer(raw, "<i2").astype(np.int32) + 128) >> 8
            arrays.append(np.clip(rounded, -127, 127).astype(np.int8))
    return arrays


def diff(bundle: Bundle, old: GlobalModel, new: GlobalModel) -> list[Difference]:
    """What changed between two versions of the same bundle, tensor by tensor."""
    delta = np.abs(new.values - old.values) / float(1 << 16)
    differences, start = [], 0
    for segment, before, after in zip(
        bundle.segments, exported(bundle, old), exported(bundle, new), strict=True
    ):
        part = delta[start : start + segment.count]
        start += segment.count
        differences.append(
            Difference(
                name=segment.name,
                kind=segment.kind,
                count=segment.count,
                changed=int((before != after).sum()),
                largest=float(part.max(initial=0.0)),
                mean=float(part.mean()) if segment.count else 0.0,
            )
        )
    return differences
