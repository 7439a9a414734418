# SPDX-License-Identifier: Apache-2.0
"""Rounds: how an update gets out, whatever happens meanwhile on the line and on the board."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgrad.wire.framing import DELIMITER, encode_message
from fleetgrad.wire.messages import (
    Abort,
    Ack,
    Chunk,
    Error,
    ErrorCode,
    Hello,
    HelloRequest,
    Message,
    Phase,
    Receipt,
    UpdateHeader,
    Verdict,
)
from support.fake_model import (
    DEVICE,
    HELD_OUT,
    PARAM_BYTES,
    TRAIN,
    Samples,
    Terms,
    data_image,
    expected_update,
)
from support.node_host import SESSION, Host, acks, errors, round_open, status_of

EMPTY = Samples.random(0, seed=0)
BASE = random.Random(5).randbytes(40) + bytes(PARAM_BYTES - 40)
TOTAL = UpdateHeader.BYTES + 2 + 650 + 2


# --- Sending --------------------------------------------------------------------------------


def test_the_update_is_kept_and_sent_again_until_it_is_acknowledged(host: Host) -> None:
    first = [m for m in host.deliver(Terms(), BASE) if isinstance(m, Chunk)]
    assert host.settle() == []
    wait = host.node.wait_ms(host.now_ms)
    assert wait == 1000
    host.now_ms += wait
    assert host.settle() == first
    assert host.node.wait_ms(host.now_ms) == 2000
    host.now_ms += 2000
    assert host.collect(host.settle()) == expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)
    assert host.node.wait_ms(host.now_ms) is None
    assert status_of(host).phase == Phase.DONE


def test_a_lost_chunk_is_sent_again(boot: Callable[..., Host], image: bytes) -> None:
    host = boot(image)
    host.greet(max_payload=64)
    chunks = [m for m in host.deliver(Terms(), BASE) if isinstance(m, Chunk)]
    assert len(chunks) == 8
    again = [m for m in host.send(Ack(1, chunks[2].offset)) if isinstance(m, Chunk)]
    assert again[0] == chunks[2]
    blob = chunks[0].data + chunks[1].data
    for chunk in again:
        blob += chunk.data if chunk.offset == len(blob) else b""
    rest = host.send(Ack(1, len(blob)))
    while rest:
        blob += b"".join(m.data for m in rest if isinstance(m, Chunk))
        rest = host.send(Ack(1, len(blob)))
    assert blob == expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)


def test_a_receipt_lets_the_update_go(host: Host) -> None:
    host.collect(host.deliver(Terms(), BASE))
    assert host.greet().round == 1
    assert host.send(Receipt(1, Verdict.ACCEPTED)) == []
    assert host.greet().round == 0
    assert status_of(host).phase == Phase.IDLE


def test_a_lost_receipt_keeps_the_update_and_a_repeated_one_is_harmless(host: Host) -> None:
    host.collect(host.deliver(Terms(), BASE))
    host.now_ms += 3_600_000
    assert host.settle() == []
    assert host.greet().round == 1
    for _ in range(3):
        assert host.send(Receipt(1, Verdict.DUPLICATE)) == []
    assert status_of(host).phase == Phase.IDLE


def test_a_receipt_of_another_round_is_ignored(host: Host) -> None:
    host.collect(host.deliver(Terms(number=3), BASE), number=3)
    assert host.send(Receipt(2, Verdict.STALE)) == []
    assert host.greet().round == 3


def test_an_acknowledgement_of_another_round_is_refused(host: Host) -> None:
    host.deliver(Terms(), BASE)
    assert errors(host.send(Ack(2, 10))) == [ErrorCode.WRONG_ROUND]
    assert errors(host.send(Ack(1, TOTAL + 1))) == [ErrorCode.BAD_MESSAGE]
    assert status_of(host).phase == Phase.SENDING


def test_asking_again_sends_the_rest_again(boot: Callable[..., Host], image: bytes) -> None:
    host = boot(image)
    host.greet(max_payload=64)
    first = [m for m in host.deliver(Terms(), BASE) if isinstance(m, Chunk)]
    host.send(Ack(1, first[3].offset))
    again = [m for m in host.send(round_open(Terms(), BASE)) if isinstance(m, Chunk)]
    assert again[0] == first[3]


def test_asking_again_for_a_whole_update_sends_all_of_it(host: Host) -> None:
    blob = host.collect(host.deliver(Terms(), BASE))
    answers = host.send(round_open(Terms(), BASE))
    assert acks(answers) == [PARAM_BYTES]
    assert host.collect(answers) == blob


def test_after_a_receipt_the_same_round_is_done_anew(host: Host) -> None:
    blob = host.collect(host.deliver(Terms(), BASE))
    host.send(Receipt(1, Verdict.ACCEPTED))
    assert host.collect(host.deliver(Terms(), BASE)) == blob


# --- Interruptions --------------------------------------------------------------------------


def test_a_new_session_gets_the_whole_update_but_only_when_it_asks(host: Host) -> None:
    expected = expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)
    first = [m for m in host.deliver(Terms(), BASE) if isinstance(m, Chunk)]
    host.send(Ack(1, 100))
    assert first
    host.session = 0x777
    assert host.greet().round == 1
    host.now_ms += 60_000
    assert host.settle() == []
    assert host.collect(host.send(round_open(Terms(), BASE))) == expected


def test_a_session_that_begins_during_training_gets_the_update(host: Host) -> None:
    host.node.receive(encode_message(round_open(Terms(), BASE), SESSION, 0))
    for chunk in host.chunks(BASE):
        host.node.receive(encode_message(chunk, SESSION, 0))
    for _ in range(8):
        host.step()
    host.session = 0x777
    answers = host.send(HelloRequest(1, 1, 1024, 0x07F02595), round_open(Terms(), BASE))
    assert any(isinstance(m, Hello) for m in answers)
    assert host.collect(answers) == expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)


def test_a_reboot_in_mid_round_forgets_it_and_the_round_can_be_repeated(
    boot: Callable[..., Host], image: bytes
) -> None:
    host = boot(image, boot_count=1)
    host.greet()
    host.send(round_open(Terms(), BASE), *host.chunks(BASE, size=100)[:5])
    rebooted = boot(image, boot_count=2)
    rebooted.session = SESSION
    (answer,) = rebooted.send(host.chunks(BASE, size=100)[5])
    assert answer == Error(ErrorCode.NO_SESSION, Chunk.ID, 0)
    hello = rebooted.greet()
    assert (hello.boot_count, hello.round) == (2, 0)
    assert rebooted.collect(rebooted.deliver(Terms(), BASE)) == expected_update(
        Terms(), DEVICE, BASE, TRAIN, HELD_OUT
    )


@pytest.mark.parametrize("steps", [0, 3, 9, 20, 60])
def test_a_new_round_replaces_whatever_runs(host: Host, steps: int) -> None:
    host.node.receive(encode_message(round_open(Terms(epochs=4), BASE), SESSION, 0))
    for chunk in host.chunks(BASE):
        host.node.receive(encode_message(chunk, SESSION, 0))
    for _ in range(steps):
        host.step()
    terms = Terms(number=2, seed=99)
    messages = host.deliver(terms, BASE)
    of_round = [m for m in messages if not isinstance(m, Chunk) or m.transfer == 2]
    assert host.collect(of_round, 2) == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)


def test_the_same_number_with_other_terms_is_another_round(host: Host) -> None:
    host.collect(host.deliver(Terms(), BASE))
    terms = Terms(version_tag=5)
    assert host.collect(host.deliver(terms, BASE)) == expected_update(
        terms, DEVICE, BASE, TRAIN, HELD_OUT
    )


@pytest.mark.parametrize("steps", [0, 9, 200])
def test_abort_ends_a_round_at_any_time(host: Host, steps: int) -> None:
    host.node.receive(encode_message(round_open(Terms(), BASE), SESSION, 0))
    for chunk in host.chunks(BASE):
        host.node.receive(encode_message(chunk, SESSION, 0))
    for _ in range(steps):
        host.step()
    host.send(Abort(1))
    assert status_of(host).phase == Phase.IDLE
    assert host.greet().round == 0
    assert host.send(Abort(1), Abort(77)) == []
    assert host.collect(host.deliver(Terms(), BASE)) == expected_update(
        Terms(), DEVICE, BASE, TRAIN, HELD_OUT
    )


def test_an_empty_held_out_part_is_reported_as_such(boot: Callable[..., Host]) -> None:
    host = boot(data_image(TRAIN, EMPTY))
    host.greet()
    blob = host.collect(host.deliver(Terms(), BASE))
    assert UpdateHeader.unpack(blob[: UpdateHeader.BYTES]).eval_samples == 0
    assert blob == expected_update(Terms(), 42, BASE, TRAIN, EMPTY)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1), payload=st.sampled_from([64, 100, 256, 1024]))
def test_a_line_that_loses_and_damages_frames_gives_the_same_update(
    boot: Callable[..., Host], image: bytes, seed: int, payload: int
) -> None:
    """A host that only ever repeats itself, over a line that drops a fifth of everything."""
    rng = random.Random(seed)
    host = boot(image)
    host.greet(payload)
    terms, expected = (
        Terms(epochs=1),
        expected_update(Terms(epochs=1), DEVICE, BASE, TRAIN, HELD_OUT),
    )

    def lossy(message: Message) -> None:
        frame = bytearray(encode_message(message, SESSION, 0))
        luck = rng.random()
        if luck < 0.1:
            return
        if luck < 0.2:
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        host.node.receive(bytes(frame) + DELIMITER)

    blob, sent, opened = b"", 0, False
    for _ in range(3000):
        if not opened:
            lossy(round_open(terms, BASE))
        for chunk in host.chunks(BASE[sent:], size=payload - 6)[:8]:
            lossy(Chunk(chunk.transfer, chunk.offset + sent, chunk.data))
        for message in host.settle():
            if rng.random() < 0.15:
                continue
            if isinstance(message, Ack):
                opened, sent = True, max(sent, message.next_offset)
            elif isinstance(message, Error) and message.code == ErrorCode.WRONG_ROUND:
                opened, sent = False, 0
            elif isinstance(message, Chunk):
                sent, opened = PARAM_BYTES, True
                if message.offset <= len(blob):
                    blob = blob[: message.offset] + message.data
                lossy(Ack(1, len(blob)))
        if len(blob) == len(expected):
            break
        host.now_ms += 1000
    assert blob == expected
