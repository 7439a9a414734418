# SPDX-License-Identifier: Apache-2.0
"""Whole transfers over bad lines, in every pairing of the two languages: always complete, always
the same bytes, whatever restarts."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad.wire.transfer import Receiver, Sender
from support.wire_line import AnyReceiver, AnySender, Faults, Line
from support.wire_native import NativeReceiver, NativeSender, NativeWire

MINUTE_MS = 60_000
LINES = {
    "perfect": Faults(),
    "drops": Faults(drop=0.01),
    "reorders": Faults(duplicate=0.02, reorder=0.05),
    "noisy": Faults(bit_errors=1e-4, garbage=0.02),
    "terrible": Faults(drop=0.1, duplicate=0.1, reorder=0.2, bit_errors=5e-4, garbage=0.1),
}
PAIRS = [("python", "python"), ("python", "c"), ("c", "python"), ("c", "c")]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    value: tuple[str, str] = request.param
    return value


SenderMaker = Callable[[bytes, int], AnySender]
ReceiverMaker = Callable[[int], AnyReceiver]


@pytest.fixture
def new_sender(native: NativeWire, pair: tuple[str, str]) -> SenderMaker:
    if pair[0] == "c":
        return lambda data, max_payload: NativeSender(native, data, 7, max_payload)
    return lambda data, max_payload: Sender(data, 7, max_payload)


@pytest.fixture
def new_receiver(native: NativeWire, pair: tuple[str, str]) -> ReceiverMaker:
    if pair[1] == "c":
        return lambda total: NativeReceiver(native, 7, total)
    return lambda total: Receiver(7, total)


@pytest.mark.parametrize("faults", LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("size", [0, 1, 674, 30_000])
def test_a_blob_arrives_whole_over_every_line(
    new_sender: SenderMaker, new_receiver: ReceiverMaker, faults: Faults, size: int
) -> None:
    for seed in range(3):
        blob = random.Random(seed).randbytes(size)
        line = Line(new_sender(blob, 512), new_receiver(size), faults, seed)
        assert line.run(30 * MINUTE_MS)
        assert line.receiver.data == blob
        assert line.completions == (1 if size else 0)


def test_a_perfect_line_carries_every_byte_once(
    new_sender: SenderMaker, new_receiver: ReceiverMaker
) -> None:
    blob = random.Random(1).randbytes(100_000)
    line = Line(new_sender(blob, 512), new_receiver(len(blob)), Faults(), 0)
    assert line.run(MINUTE_MS)
    assert line.chunks_sent == -(-len(blob) // 506)


def test_a_mebibyte_completes_at_a_percent_of_drops_with_reordering_and_bit_errors(
    native: NativeWire,
) -> None:
    blob = random.Random(2).randbytes(1 << 20)
    faults = Faults(drop=0.01, reorder=0.005, bit_errors=1e-4)
    line = Line(Sender(blob, 7, 512), NativeReceiver(native, 7, len(blob)), faults, 3)
    assert line.run(60 * MINUTE_MS)
    assert line.receiver.data == blob


def test_a_sender_that_restarts_goes_on_where_the_receiver_is(
    new_sender: SenderMaker, new_receiver: ReceiverMaker
) -> None:
    blob = random.Random(4).randbytes(20_000)
    line = Line(new_sender(blob, 256), new_receiver(len(blob)), Faults(drop=0.02), 5)
    assert not line.run(60)
    arrived = line.receiver.ack().next_offset
    assert 0 < arrived < len(blob)
    line.sender = new_sender(blob, 256)
    line.sender.resume(arrived)
    line.chunks_sent = 0
    assert line.run(30 * MINUTE_MS)
    assert line.receiver.data == blob
    assert line.chunks_sent < len(blob) // 250  # not from the beginning


def test_a_receiver_that_lost_everything_gets_everything(
    new_sender: SenderMaker, new_receiver: ReceiverMaker
) -> None:
    blob = random.Random(6).randbytes(20_000)
    line = Line(new_sender(blob, 256), new_receiver(len(blob)), Faults(), 7)
    assert not line.run(60)
    line.receiver = new_receiver(len(blob))
    line.sender.resume(line.receiver.ack().next_offset)
    assert line.run(30 * MINUTE_MS)
    assert line.receiver.data == blob


@given(
    seed=st.integers(0, 2**32),
    restarts=st.lists(st.tuples(st.integers(1, 3000), st.booleans()), max_size=4),
    faults=st.builds(
        Faults,
        drop=st.sampled_from([0.0, 0.05, 0.3]),
        duplicate=st.sampled_from([0.0, 0.2]),
        reorder=st.sampled_from([0.0, 0.3]),
        bit_errors=st.sampled_from([0.0, 1e-3]),
        garbage=st.sampled_from([0.0, 0.2]),
    ),
    pairing=st.sampled_from(PAIRS),
)
def test_restarts_of_either_side_that_nobody_announces_only_cost_time(
    native: NativeWire,
    seed: int,
    restarts: list[tuple[int, bool]],
    faults: Faults,
    pairing: tuple[str, str],
) -> None:
    blob = random.Random(seed).randbytes(5_000)

    def new_sender() -> AnySender:
        kind = pairing[0]
        return NativeSender(native, blob, 7, 256) if kind == "c" else Sender(blob, 7, 256)

    def new_receiver() -> AnyReceiver:
        size = len(blob)
        return NativeReceiver(native, 7, size) if pairing[1] == "c" else Receiver(7, size)

    line = Line(new_sender(), new_receiver(), faults, seed)
    for after_ms, sender_restarts in restarts:
        if line.run(line.now_ms + after_ms):
            break  # the sender knows that all has arrived: a session, not a transfer, starts anew
        if sender_restarts:
            line.sender = new_sender()
        else:
            line.receiver = new_receiver()
    assert line.run(line.now_ms + 120 * MINUTE_MS)
    # A stale acknowledgement may finish the sender after the receiver lost its memory; over a
    # line that does not reorder there is none.
    if line.receiver.complete or not faults.reorder:
        assert line.receiver.data == blob
