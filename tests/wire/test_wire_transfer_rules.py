# SPDX-License-Identifier: Apache-2.0
"""The rules of a transfer one by one, and C and Python in step through random events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad.wire.errors import TransferError
from fleetgrad.wire.messages import PAYLOAD_MIN, Ack, Chunk
from fleetgrad.wire.transfer import (
    TIMEOUT_MAX_MS,
    TIMEOUT_MIN_MS,
    TIMEOUT_MS,
    Receiver,
    Sender,
    transfer_id,
)
from support.wire_native import (
    FG_ERR_SIZE,
    FG_ERR_STATE,
    FG_OK,
    NativeReceiver,
    NativeSender,
    NativeWire,
)

BLOB = bytes(index * 7 & 0xFF for index in range(3000))


def chunk(offset: int, size: int = 100) -> Chunk:
    return Chunk(1, offset, BLOB[offset : offset + size])


def drain(sender: Any, now_ms: int) -> list[int]:
    offsets = []
    while (sent := sender.poll(now_ms)) is not None:
        offsets.append(sent.offset)
    return offsets


def sender_of_100_byte_chunks() -> Sender:
    return Sender(BLOB, 1, 100 + Chunk.BYTES)


def test_a_receiver_acknowledges_every_eighth_chunk_and_the_end() -> None:
    receiver = Receiver(1, 1000)
    acks = [receiver.accept(chunk(offset)) for offset in range(0, 1000, 100)]
    assert [index for index, item in enumerate(acks) if item.ack] == [7, 9]
    assert acks[7].ack == Ack(1, 800)
    assert acks[9].ack == Ack(1, 1000)
    assert [item.complete for item in acks] == [False] * 9 + [True]
    assert receiver.data == BLOB[:1000]


def test_a_gap_is_acknowledged_once_per_pass_of_the_sender() -> None:
    receiver = Receiver(1, 3000)
    receiver.accept(chunk(0))
    assert receiver.accept(chunk(200)).ack == Ack(1, 100)
    assert [receiver.accept(chunk(offset)).ack for offset in (300, 400, 500)] == [None] * 3
    assert receiver.accept(chunk(200)).ack == Ack(1, 100)  # the sender went back: it did not hear


def test_a_duplicate_is_acknowledged_again_and_is_no_error() -> None:
    receiver = Receiver(1, 100)
    assert receiver.accept(chunk(0)).complete
    for _ in range(3):
        again = receiver.accept(chunk(0))
        assert again.ack == Ack(1, 100)
        assert not again.complete


def test_the_new_part_of_an_overlapping_chunk_is_taken() -> None:
    receiver = Receiver(1, 3000)
    receiver.accept(chunk(0, 150))
    receiver.accept(chunk(100, 100))
    assert receiver.data == BLOB[:200]


def test_an_interrupted_receiver_goes_on_from_what_it_has() -> None:
    receiver = Receiver(1, 200, received=BLOB[:100])
    assert receiver.ack() == Ack(1, 100)
    assert receiver.accept(chunk(100)).complete
    with pytest.raises(TransferError, match="201 bytes received"):
        Receiver(1, 200, received=BLOB[:201])


def test_chunks_that_cannot_belong_are_refused_and_change_nothing(native: NativeWire) -> None:
    python, c = Receiver(1, 1000), NativeReceiver(native, 1, 1000)
    for wrong, status in [
        (Chunk(2, 0, b"x"), FG_ERR_STATE),
        (Chunk(1, 1000, b"x"), FG_ERR_SIZE),
        (Chunk(1, 950, bytes(51)), FG_ERR_SIZE),
        (Chunk(1, 0xFFFFFFFF, bytes(2)), FG_ERR_SIZE),
    ]:
        with pytest.raises(TransferError):
            python.accept(wrong)
        assert c.accept_status(wrong) == (status, 0)
    assert python.next_offset == c.next_offset == 0


def test_acknowledgements_that_cannot_belong_are_refused_and_change_nothing(
    native: NativeWire,
) -> None:
    python, c = Sender(BLOB, 1, 256), NativeSender(native, BLOB, 1, 256)
    for wrong, status in [(Ack(2, 0), FG_ERR_STATE), (Ack(1, 3001), FG_ERR_SIZE)]:
        with pytest.raises(TransferError):
            python.acknowledge(wrong)
        assert c.acknowledge_status(wrong) == status
    assert python.acknowledged == c.acknowledged == 0


def test_a_sender_keeps_eight_chunks_in_flight() -> None:
    sender = sender_of_100_byte_chunks()
    assert drain(sender, 0) == list(range(0, 800, 100))
    sender.acknowledge(Ack(1, 800))
    assert drain(sender, 0) == list(range(800, 1600, 100))


def test_silence_doubles_the_timeout_up_to_its_maximum() -> None:
    sender = sender_of_100_byte_chunks()
    now, waits = 0, []
    for _ in range(6):
        assert drain(sender, now)[0] == 0
        wait = sender.wait(now)
        assert wait is not None
        assert drain(sender, now + wait - 1) == []
        waits.append(wait)
        now += wait
    assert waits == [TIMEOUT_MS, 2000, 4000, 8000, TIMEOUT_MAX_MS, TIMEOUT_MAX_MS]
    assert sender.timeouts == 5


def test_a_gap_is_filled_at_once_and_only_once_and_nothing_new_is_sent_before() -> None:
    sender = sender_of_100_byte_chunks()
    drain(sender, 0)
    sender.acknowledge(Ack(1, 300))
    assert drain(sender, 0) == [300]
    sender.acknowledge(Ack(1, 300))
    assert drain(sender, 0) == []
    sender.acknowledge(Ack(1, 600))  # what was kept behind the first gap ends at another one
    assert drain(sender, 0) == [600]
    sender.acknowledge(Ack(1, 800))
    assert drain(sender, 0)[0] == 800


def test_what_comes_behind_a_gap_is_kept_until_it_is_filled() -> None:
    receiver = Receiver(1, 3000)
    receiver.accept(chunk(0))
    for offset in (200, 300, 400):
        receiver.accept(chunk(offset))
    assert receiver.next_offset == 100
    assert receiver.accept(chunk(100)).ack == Ack(1, 500)
    assert receiver.data == BLOB[:500]


def test_behind_a_second_gap_nothing_is_kept_and_every_chunk_is_acknowledged() -> None:
    receiver = Receiver(1, 3000)
    for offset in (0, 200, 400, 500):
        receiver.accept(chunk(offset))
    acks = [receiver.accept(chunk(offset)).ack for offset in (100, 300, 400, 500, 600)]
    assert acks == [Ack(1, 300), Ack(1, 400), Ack(1, 500), Ack(1, 600), None]
    assert receiver.data == BLOB[:700]


def test_answers_that_come_quickly_shorten_the_timeout_and_slow_ones_lengthen_it() -> None:
    sender = sender_of_100_byte_chunks()
    now, waits = 0, []
    for took in [5] * 40 + [200]:
        drain(sender, now)
        waits.append(sender.wait(now))
        now += took
        sender.acknowledge(Ack(1, sender.acknowledged))
        drain(sender, now)
        sender.acknowledge(Ack(1, min(sender.acknowledged + 1, 3000)))
    assert waits[0] == TIMEOUT_MS
    assert waits[40] == TIMEOUT_MIN_MS
    drain(sender, now)
    assert sender.wait(now) == 4 * 200


def test_a_stale_acknowledgement_is_ignored() -> None:
    sender = sender_of_100_byte_chunks()
    drain(sender, 0)
    sender.acknowledge(Ack(1, 800))
    drain(sender, 0)
    sender.acknowledge(Ack(1, 300))
    assert sender.acknowledged == 800
    assert drain(sender, 0) == []


def test_a_receiver_that_started_again_is_believed_after_a_timeout() -> None:
    sender = sender_of_100_byte_chunks()
    drain(sender, 0)
    sender.acknowledge(Ack(1, 800))
    drain(sender, 0)
    drain(sender, TIMEOUT_MS)
    sender.acknowledge(Ack(1, 0))
    assert drain(sender, TIMEOUT_MS)[0] == 0


def test_a_sender_that_started_again_skips_what_the_receiver_has() -> None:
    sender = sender_of_100_byte_chunks()
    drain(sender, 0)
    sender.acknowledge(Ack(1, 2500))
    assert drain(sender, 0) == [2500, 2600, 2700, 2800, 2900]


def test_chunks_shorten_where_losses_are_frequent_and_lengthen_where_they_are_not() -> None:
    sender = Sender(bytes(1_000_000), 1, 512)
    now = 0
    sizes = [sender.payload]
    for _ in range(5):
        drain(sender, now)
        now += TIMEOUT_MAX_MS
        drain(sender, now)
        sizes.append(sender.payload)
    assert sizes == [512, 512, 256, 128, 64, 64]
    sender.resume(0)
    for _ in range(40):
        end = drain(sender, now)[-1] + sender.payload - Chunk.BYTES
        sender.acknowledge(Ack(1, min(end, 1_000_000)))
    assert sender.payload == 512


def test_rare_losses_leave_the_chunks_long() -> None:
    sender = Sender(bytes(1_000_000), 1, 512)
    for _ in range(10):
        window = drain(sender, 0)
        sender.acknowledge(Ack(1, window[5]))
        assert drain(sender, 0) == [window[5]]
        sender.acknowledge(Ack(1, window[-1] + 506))
        assert sender.payload == 512


def test_an_empty_blob_is_done_before_it_begins(native: NativeWire) -> None:
    for sender in (Sender(b"", 1, 256), NativeSender(native, b"", 1, 256)):
        assert sender.done
        assert sender.poll(0) is None
        assert sender.wait(0) is None
    for receiver in (Receiver(1, 0), NativeReceiver(native, 1, 0)):
        assert receiver.complete
        assert receiver.accept(Chunk(1, 0, b"")).ack == Ack(1, 0)


def test_a_transfer_is_named_by_the_low_half_of_its_round() -> None:
    assert transfer_id(0x12345) == 0x2345


sender_events = st.one_of(
    st.tuples(st.just("poll"), st.sampled_from([0, 1, 500, 1000, 3000, 9000])),
    st.tuples(st.just("ack"), st.integers(0, 64)),
    st.tuples(st.just("ack all"), st.just(0)),
    st.tuples(st.just("resume"), st.integers(0, 64)),
)


@given(
    size=st.integers(0, 9000),
    max_payload=st.sampled_from([0, 64, 100, 256, 512, 1024]),
    start_ms=st.sampled_from([0, 2**31 - 4000, 2**32 - 4000]),
    events=st.lists(sender_events, max_size=60),
)
def test_both_senders_decide_alike(
    native: NativeWire,
    size: int,
    max_payload: int,
    start_ms: int,
    events: list[tuple[str, int]],
) -> None:
    blob = bytes(index & 0xFF for index in range(size))
    python, c = Sender(blob, 1, max_payload), NativeSender(native, blob, 1, max_payload)
    now, sent_to = start_ms, 0
    for event, value in events:
        if event == "poll":
            now += value
            while (chunk_sent := python.poll(now)) is not None:
                assert c.poll(now) == chunk_sent
                assert len(chunk_sent.data) + Chunk.BYTES <= max(max_payload, PAYLOAD_MIN)
                sent_to = max(sent_to, chunk_sent.offset + len(chunk_sent.data))
            assert c.poll(now) is None
        elif event == "resume":
            python.resume(size * value // 64)
            c.resume(size * value // 64)
        else:
            offset = sent_to if event == "ack all" else size * value // 64
            python.acknowledge(Ack(1, offset))
            assert c.acknowledge_status(Ack(1, offset)) == FG_OK
        assert c.wait(now) == python.wait(now)
        assert (c.acknowledged, c.done, c.payload, c.timeouts) == (
            python.acknowledged,
            python.done,
            python.payload,
            python.timeouts,
        )


# Relative to where the receiver is: in place, behind, ahead. Anything else is rare and found too.
piece_starts = st.sampled_from([0, 0, 0, 0, -100, -200, 100, 200, 300])


@given(
    size=st.integers(0, 3000),
    pieces=st.lists(st.tuples(piece_starts, st.integers(0, 300)), max_size=60),
)
def test_both_receivers_decide_alike(
    native: NativeWire, size: int, pieces: list[tuple[int, int]]
) -> None:
    python, c = Receiver(1, size), NativeReceiver(native, 1, size)
    for start, length in pieces:
        offset = min(max(0, python.next_offset + start), size)
        piece = Chunk(1, offset, BLOB[offset : min(offset + length, size)])
        assert c.accept(piece) == python.accept(piece)
        assert c.data == python.data == BLOB[: python.next_offset]
        assert c.complete == python.complete
