# SPDX-License-Identifier: Apache-2.0
"""Partial sums against Python's unbounded integers: flat, as a tree, in shards, through bytes."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.device import Update
from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.errors import RoundError, WireError
from fleetgrad.federation.exact import divide
from fleetgrad.federation.model import Layout
from fleetgrad.federation.partial import MARK_MODULUS, PartialSum

LAYOUT = Layout(bytes(range(32)), (("bias", 2), ("weight", 3)), ranges=2, units=(0, None))
ROUND = 9


@dataclass(frozen=True)
class Part:
    """One device's contribution."""

    weights: tuple[int, int]
    exponents: tuple[int, int]
    deltas: tuple[int, ...]
    measured: int
    clipped: tuple[int, int]
    saturated: tuple[int, int]
    blob: bytes

    def update(self) -> Update:
        return Update(
            ROUND, 0, self.weights[0] & 0xFFFF, 0, 0, 0, 0, self.exponents,
            np.array(self.deltas, np.int8), self.blob, self.measured, self.clipped, self.saturated,
        )  # fmt: skip


parts = st.lists(
    st.builds(
        Part,
        st.tuples(st.integers(0, 1 << 24), st.integers(0, 1 << 40)),
        st.tuples(st.integers(0, MAX_EXPONENT["bias"]), st.integers(0, MAX_EXPONENT["weight"])),
        st.tuples(*[st.integers(-127, 127)] * 5),
        st.integers(0, 1024),
        st.tuples(*[st.integers(0, 65535)] * 2),
        st.tuples(*[st.integers(0, 255)] * 2),
        st.binary(max_size=8),
    ),
    max_size=8,
)


def folded(found: list[Part], first: int = 0) -> PartialSum:
    total = PartialSum.empty(LAYOUT, numbers=2)
    for device, part in enumerate(found, start=first):
        total.add(device, part.update(), part.weights)
    return total


def expected_sums(found: list[Part]) -> list[int]:
    segment = [0, 0, 1, 1, 1]
    return [
        sum(p.weights[0] * p.deltas[i] * 2 ** p.exponents[segment[i]] for p in found)
        for i in range(5)
    ]


def expected_mark(found: list[Part]) -> int:
    total = 0
    for device, part in enumerate(found):
        head = device.to_bytes(8, "little") + ROUND.to_bytes(4, "little")
        digest = hashlib.sha256(head + hashlib.sha256(part.blob).digest()).digest()
        total += int.from_bytes(digest, "little")
    return total % MARK_MODULUS


@settings(deadline=None)
@given(parts)
def test_sums_are_those_of_unbounded_numbers(found: list[Part]) -> None:
    total = folded(found)
    assert total.sums.tolist() == expected_sums(found)
    assert total.weights == tuple(sum(p.weights[i] for p in found) for i in range(2))
    assert (total.count, total.mark) == (len(found), expected_mark(found))
    report = total.report
    assert report.measured == sum(p.measured for p in found)
    assert report.clipped == tuple(sum(p.measured * p.clipped[i] for p in found) for i in range(2))
    assert report.saturated == tuple(sum(p.saturated[i] for p in found) for i in range(2))
    assert report.saturating == tuple(sum(p.saturated[i] > 0 for p in found) for i in range(2))


@settings(deadline=None)
@given(parts, st.integers(0, 8), st.integers(0, 8))
def test_tree_of_sums_is_the_flat_sum_byte_for_byte(found: list[Part], cut: int, cut2: int) -> None:
    low, high = sorted((min(cut, len(found)), min(cut2, len(found))))
    pieces = [folded(found[:low]), folded(found[low:high], low), folded(found[high:], high)]
    inner = pieces[2]
    inner.merge(PartialSum.from_bytes(LAYOUT, pieces[0].to_bytes()))
    root = PartialSum.empty(LAYOUT, numbers=2)
    root.merge(pieces[1])
    root.merge(inner)
    assert root.to_bytes() == folded(found).to_bytes()


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**45), 2**45), min_size=1, max_size=8),
    st.integers(1, 2**62 - 1),
    st.integers(0, 16),
)
def test_quotients_are_rounded_half_away_from_zero(
    numbers: list[int], weight: int, bits: int
) -> None:
    def exact(number: int) -> int:
        quotient = (2 * abs(number) * 2**bits + weight) // (2 * weight)
        return quotient if number >= 0 else -quotient

    assert divide(np.array(numbers), weight, bits).tolist() == [exact(n) for n in numbers]


@pytest.mark.parametrize("weight", [1, 3, 2**47 - 1, 2**62 - 1])
def test_halves_and_extremes_divide_exactly(weight: int) -> None:
    numbers = [n for k in (0, 1, -1) for n in (weight * k // 2, weight // 2 + k, -weight // 2 + k)]
    doubled = [2 * abs(n) + weight for n in numbers]
    wanted = [
        d // (2 * weight) * (1 if n >= 0 else -1) for d, n in zip(doubled, numbers, strict=True)
    ]
    assert divide(np.array(numbers), weight, 0).tolist() == wanted


HUGE = Part((1 << 31, 0), (25, 9), (127,) * 5, 0, (0, 0), (0, 0), b"")


def test_sum_that_could_leave_64_bits_is_refused_and_changes_nothing() -> None:
    """2^31 * 127 * 2^25 is a little below 2^63: one fits, two do not."""
    total = folded([HUGE])
    before = total.to_bytes()
    with pytest.raises(RoundError, match="bias segment exactly in 64 bits"):
        total.add(7, HUGE.update(), HUGE.weights)
    with pytest.raises(RoundError, match="bias segment exactly in 64 bits"):
        total.merge(folded([HUGE]))
    assert total.to_bytes() == before


def test_weights_that_could_leave_64_bits_are_refused() -> None:
    total = folded([])
    with pytest.raises(RoundError, match="their weights"):
        total.add(1, HUGE.update(), (0, 1 << 62))


def test_sums_of_another_model_or_strategy_are_refused() -> None:
    other = Layout(bytes(32), LAYOUT.segments, 2, LAYOUT.units)
    with pytest.raises(RoundError, match="another model"):
        folded([]).merge(PartialSum.empty(other, numbers=2))
    with pytest.raises(RoundError, match="another strategy"):
        folded([]).merge(PartialSum.empty(LAYOUT, numbers=1))
    with pytest.raises(WireError, match="of another model"):
        PartialSum.from_bytes(other, folded([HUGE]).to_bytes())


def sealed(data: bytes) -> bytes:
    """The same with a CRC that fits."""
    return data[:4] + zlib.crc32(data[8:]).to_bytes(4, "little") + data[8:]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: b"", "no partial sum"),
        (lambda d: b"X" + d[1:], "no partial sum"),
        (lambda d: d[:-1], "CRC"),
        (lambda d: sealed(d[:-8]), "of [0-9]+ bytes"),
        (lambda d: d[:40] + bytes([d[40] ^ 1]) + d[41:], "CRC"),
        (lambda d: sealed(d[:8] + b"\2" + d[9:]), "format 2"),
        (lambda d: sealed(d[:-8] + (1 << 62).to_bytes(8, "little")), "beyond what its updates"),
        (lambda d: sealed(d[:20] + b"\7" + d[21:]), "totals do not fit"),
    ],
)
def test_damaged_sum_is_refused_by_name(harm, message: str) -> None:  # type: ignore[no-untyped-def]
    data = folded([Part((5, 6), (1, 2), (1, -2, 3, -4, 5), 1, (1, 1), (0, 1), b"x")]).to_bytes()
    assert PartialSum.from_bytes(LAYOUT, data).to_bytes() == data
    with pytest.raises(WireError, match=message):
        PartialSum.from_bytes(LAYOUT, harm(data))
