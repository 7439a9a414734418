# SPDX-License-Identifier: Apache-2.0
"""What a federation of device models must end with, in Python's own unbounded numbers."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from fleetgrad.wire.messages import RoundOpen, UpdateHeader, Work
from support.device_model import Traits, update_blob


def round_half_away(value: Fraction) -> int:
    """To the nearest integer, ties away from zero."""
    size = math.floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def average(
    values: Sequence[int],
    segments: Sequence[tuple[str, int]],
    updates: Sequence[tuple[int, Sequence[int], Sequence[int]]],
) -> list[int]:
    """FedAvg by definition; an update is (samples, exponents, deltas)."""
    weight = sum(samples for samples, _, _ in updates)
    result, index = [], 0
    for number, (_, count) in enumerate(segments):
        for _ in range(count):
            total = sum(
                n * deltas[index] * 2 ** exponents[number] for n, exponents, deltas in updates
            )
            result.append(values[index] + round_half_away(Fraction(total * 65536, weight)))
            index += 1
    return result


def vector(values: Sequence[int], segments: Sequence[tuple[str, int]]) -> bytes:
    """The broadcast: rounded half up, clamped, packed."""
    out, index = b"", 0
    for kind, count in segments:
        limit, code = ((1 << 30), "<i") if kind == "bias" else (127 * 256, "<h")
        for _ in range(count):
            whole = math.floor(Fraction(values[index], 65536) + Fraction(1, 2))
            out += struct.pack(code, max(-limit, min(limit, whole)))
            index += 1
    return out


def digest(bundle: bytes, values: Sequence[int]) -> str:
    """The digest of a version, hex."""
    return hashlib.sha256(bundle + b"".join(struct.pack("<q", v) for v in values)).hexdigest()


def final_digest(
    bundle: bytes,
    initial: bytes,
    traits: Mapping[int, Traits],
    selected: Sequence[Sequence[int]],
    terms: RoundOpen,
) -> str:
    """The digest after as many rounds as `selected` has entries.

    Args:
        bundle: The bundle's digest.
        initial: The parameter vector that the first round starts from.
        traits: Every device.
        selected: The devices of each round.
        terms: Of any round; number, version and blob are filled in.
    """
    segments = next(iter(traits.values())).segments
    biases = sum(count for kind, count in segments if kind == "bias")
    masters = (len(initial) - 4 * biases) // 2
    values = [v << 16 for v in struct.unpack(f"<{biases}i{masters}h", initial)]
    for number, devices in enumerate(selected, start=1):
        blob = vector(values, segments)
        now = RoundOpen(
            number,
            terms.model_digest,
            int.from_bytes(bytes.fromhex(digest(bundle, values))[:4], "little"),
            len(blob),
            zlib.crc32(blob),
            terms.seed,
            terms.lr_mantissa,
            terms.lr_exponent,
            terms.epochs,
            terms.batch,
            terms.max_steps,
            Work.EVALUATE | Work.TRAIN,
        )
        updates = []
        for device in devices:
            body = update_blob(traits[device], now, blob)[UpdateHeader.BYTES :]
            count = len(segments)
            deltas = struct.unpack(f"<{len(body) - 2 * count}b", body[count:-count])
            updates.append((traits[device].train_samples, tuple(body[:count]), deltas))
        values = average(values, segments, updates)
    return digest(bundle, values)


def select(
    devices: Iterable[int], number: int, *, seed: int, fraction: float, least: int
) -> tuple[int, ...]:
    """Draws a share of the devices without replacement.

    Args:
        devices: Candidates; their order does not matter.
        number: The round.
        seed: Of the run.
        fraction: Share to draw, rounded up.
        least: Draw at least so many, as far as there are.

    Returns:
        Device ids, ascending.
    """
    candidates = sorted(set(devices))
    wanted = min(len(candidates), max(least, math.ceil(fraction * len(candidates))))

    def ticket(device: int) -> bytes:
        return hashlib.sha256(f"select/{seed}/{number}/{device}".encode()).digest()

    return tuple(sorted(sorted(candidates, key=ticket)[:wanted]))
