# SPDX-License-Identifier: Apache-2.0
"""A sum of updates, of all devices or of some: exact, and small however many there were.

Every device k sends int8 deltas q and one exponent e for each segment, and has the weight w:

    S = sum_k w_k * q_k * 2^e_k        W = sum_k w_k        mark = sum_k h_k mod 2^256

where h is the SHA-256 of device id (8 bytes), round (4 bytes) and the SHA-256 of the update blob.
All of these commute, so a flat fleet, a tree of gateways and any number of shards give the same
bytes.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Update
from fleetgrad.errors import RoundError, WireError
from fleetgrad.federation.exact import WEIGHT_LIMIT
from fleetgrad.federation.model import Layout
from fleetgrad.federation.ranges import RangeReport

SUM_LIMIT = 1 << 63
MARK_MODULUS = 1 << 256

MAGIC = b"FGPS"
FORMAT = 1

# crc, format, segments, ranges, weights, parameters, updates, first bytes of the bundle's digest
_HEAD = struct.Struct("<4sIHHHHII8s32s")


class Fold(Protocol):
    """Adds an update to sums, in place: in NumPy, or quicker."""

    def __call__(
        self,
        sums: NDArray[np.int64],
        deltas: NDArray[np.int8],
        weight: int,
        exponents: Sequence[int],
        counts: tuple[int, ...],
    ) -> None:
        """Adds deltas * weight * 2^exponent, segment by segment.

        Args:
            sums: int64; none can leave 64 bits by this, as the caller has made sure.
            deltas: int8, as many.
            weight: Not negative.
            exponents: Of the segments.
            counts: Elements of each segment.
        """


def numpy_fold(
    sums: NDArray[np.int64],
    deltas: NDArray[np.int8],
    weight: int,
    exponents: Sequence[int],
    counts: tuple[int, ...],
) -> None:
    """`Fold` in NumPy."""
    start = 0
    for exponent, count in zip(exponents, counts, strict=True):
        end = start + count
        sums[start:end] += deltas[start:end] * np.int64(weight << exponent)
        start = end


def mark_of(device: int, number: int, digest: bytes) -> int:
    """What an update adds to the mark of a sum.

    Args:
        device: Whose update it is.
        number: Of the round.
        digest: SHA-256 of the update blob, 32 bytes.
    """
    whole = hashlib.sha256(struct.pack("<QI", device, number) + digest).digest()
    return int.from_bytes(whole, "little")


@dataclass(slots=True, eq=False)
class PartialSum:
    """Updates folded into sums; it grows by :meth:`add` and :meth:`merge`.

    Attributes:
        layout: Of the parameters.
        sums: S above: int64, one for every parameter.
        weights: W above, then whatever else the strategy sums.
        count: How many updates.
        mark: Which updates: see above.
        report: What they say of limits.
        bounds: For every segment, the sum of w_k * 127 * 2^e_k: no sum can be larger.
        fold: Does the work.
    """

    layout: Layout
    sums: NDArray[np.int64]
    weights: tuple[int, ...]
    count: int
    mark: int
    report: RangeReport
    bounds: tuple[int, ...]
    fold: Fold = numpy_fold

    @classmethod
    def empty(cls, layout: Layout, numbers: int = 1, fold: Fold = numpy_fold) -> "PartialSum":
        """Of no update.

        Args:
            layout: Of the parameters.
            numbers: How many weights the strategy sums.
            fold: Does the work.
        """
        return cls(
            layout,
            np.zeros(layout.count, np.int64),
            (0,) * numbers,
            0,
            0,
            RangeReport.empty(layout.shape),
            (0,) * len(layout.segments),
            fold,
        )

    def count_in(self, device: int, update: Update, digest: bytes | None = None) -> None:
        """Notes what an update without deltas, of an evaluation or a measurement, reports."""
        digest = hashlib.sha256(update.blob).digest() if digest is None else digest
        self.count += 1
        self.mark = (self.mark + mark_of(device, update.round, digest)) % MARK_MODULUS
        self.report = self.report.add(update)

    def add(
        self, device: int, update: Update, weights: tuple[int, ...], digest: bytes | None = None
    ) -> None:
        """Folds one update in.

        Args:
            device: Whose it is.
            update: Of a training round.
            weights: Its weight, and what else the strategy sums; none negative.
            digest: SHA-256 of its blob, where that is known already.

        Raises:
            RoundError: A sum could leave int64; nothing was added.
        """
        bounds = tuple(
            bound + ((weights[0] * 127) << exponent)
            for bound, exponent in zip(self.bounds, update.exponents, strict=True)
        )
        self._check(bounds, total := _sum(self.weights, weights))
        self.fold(self.sums, update.deltas, weights[0], update.exponents, self.layout.counts)
        self.bounds, self.weights = bounds, total
        self.count_in(device, update, digest)

    def merge(self, other: "PartialSum") -> None:
        """Folds in what another sum has.

        Raises:
            RoundError: A sum could leave int64, or the other one is of another kind; nothing was
                added.
        """
        if self.layout != other.layout or len(self.weights) != len(other.weights):
            raise RoundError("a partial sum of another model or another strategy")
        bounds = _sum(self.bounds, other.bounds)
        self._check(bounds, total := _sum(self.weights, other.weights))
        self.sums += other.sums
        self.bounds, self.weights = bounds, total
        self.count += other.count
        self.mark = (self.mark + other.mark) % MARK_MODULUS
        self.report = self.report.merge(other.report)

    def to_bytes(self, *, whole: bool = True) -> bytes:
        """The sum as a blob: SPEC.md, chapter "Partial sums".

        Args:
            whole: With the sums of deltas; else with all but them, where nothing was trained.
        """
        report = self.report
        numbers = (
            *self.weights,
            report.updates,
            report.measured,
            *report.clipped,
            *report.saturated,
            *report.saturating,
            *self.bounds,
        )
        body = _HEAD.pack(
            MAGIC,
            0,
            FORMAT,
            len(self.layout.segments),
            self.layout.ranges,
            len(self.weights),
            self.layout.count if whole else 0,
            self.count,
            self.layout.bundle_digest[:8],
            self.mark.to_bytes(32, "little"),
        )
        body += struct.pack(f"<{len(numbers)}Q", *numbers)
        if whole:
            body += self.sums.astype("<i8", copy=False).tobytes()
        return MAGIC + zlib.crc32(body[8:]).to_bytes(4, "little") + body[8:]

    @classmethod
    def from_bytes(cls, layout: Layout, data: bytes, fold: Fold = numpy_fold) -> "PartialSum":
        """What `to_bytes` gave.

        Raises:
            WireError: The blob is damaged, or of another model or format.
        """
        if len(data) < _HEAD.size or data[:4] != MAGIC:
            raise WireError("these bytes are no partial sum")
        _, crc, form, segments, ranges, weights, params, count, bundle, mark = _HEAD.unpack_from(
            data
        )
        if form != FORMAT:
            raise WireError(f"a partial sum of format {form}", expected=f"format {FORMAT}")
        if crc != zlib.crc32(data[8:]):
            raise WireError("the partial sum's CRC does not match its bytes")
        found = (segments, ranges, params or layout.count, bundle)
        wanted = (len(layout.segments), layout.ranges, layout.count, layout.bundle_digest[:8])
        if found != wanted:
            raise WireError("a partial sum of another model", expected=f"model {wanted[3].hex()}")
        total = weights + 2 + ranges + 3 * segments
        if weights == 0 or len(data) != _HEAD.size + 8 * (total + params):
            raise WireError(f"a partial sum of {len(data)} bytes")
        numbers = struct.unpack_from(f"<{total}Q", data, _HEAD.size)
        summed, numbers = numbers[:weights], numbers[weights:]
        (updates, measured), lists = numbers[:2], numbers[2:]
        clipped, lists = lists[:ranges], lists[ranges:]
        saturated, saturating, bounds = (lists[i * segments : (i + 1) * segments] for i in range(3))
        sums = np.zeros(layout.count, np.int64)
        sums[:params] = np.frombuffer(data, "<i8", params, len(data) - 8 * params)
        report = RangeReport(updates, measured, clipped, saturated, saturating)
        made = cls(
            layout, sums, summed, count, int.from_bytes(mark, "little"), report, bounds, fold
        )
        made._verify()
        return made

    def _verify(self) -> None:
        """Refuses sums that no updates make.

        Raises:
            WireError: A sum is beyond its bound, or a total beyond its limit.
        """
        start = 0
        for (kind, count), bound in zip(self.layout.segments, self.bounds, strict=True):
            part = self.sums[start : start + count]
            start += count
            high, low = int(part.max(initial=0)), int(part.min(initial=0))
            if bound >= SUM_LIMIT or max(high, -low) > bound:
                raise WireError(f"a partial sum with a {kind} beyond what its updates allow")
        if max(self.weights) >= WEIGHT_LIMIT or self.report.updates != self.count:
            raise WireError("a partial sum whose totals do not fit its updates")

    def _check(self, bounds: tuple[int, ...], weights: tuple[int, ...]) -> None:
        for (kind, _), bound in zip(self.layout.segments, bounds, strict=True):
            if bound >= SUM_LIMIT:
                raise RoundError(f"too many updates to sum a {kind} segment exactly in 64 bits")
        if max(weights) >= WEIGHT_LIMIT:
            raise RoundError("too many updates to sum their weights exactly in 64 bits")


def _sum(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
