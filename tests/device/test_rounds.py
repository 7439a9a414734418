# SPDX-License-Identifier: Apache-2.0
"""Rounds: what a device computes, and that nothing on the line can change it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgrad.wire.framing import encode_message
from fleetgrad.wire.messages import (
    Chunk,
    Error,
    ErrorCode,
    Message,
    Phase,
    Receipt,
    RoundOpen,
    Status,
    StatusRequest,
    UpdateHeader,
    Verdict,
)
from support.fake_model import (
    BATCH,
    DEVICE,
    DIGEST,
    HELD_OUT,
    PARAM_BYTES,
    POISON,
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


# --- What is computed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "terms",
    [
        Terms(),
        Terms(epochs=1, batch=1),
        Terms(batch=4, epochs=5, number=70000, seed=0xFFFFFFFF),
        Terms(max_steps=3),
        Terms(max_steps=1, batch=2),
        Terms(exponent=4, mantissa=(1 << 15) - 1),
        Terms(evaluate=False),
        Terms(train=False),
    ],
    ids=str,
)
def test_update_is_what_the_specification_says(host: Host, terms: Terms) -> None:
    messages = host.deliver(terms, BASE)
    blob = host.collect(messages, terms.number)
    assert blob == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    train=st.builds(Samples.random, st.integers(1, 12), st.integers(0, 99)),
    held_out=st.builds(Samples.random, st.integers(0, 4), st.integers(0, 99)),
    terms=st.builds(
        Terms,
        number=st.integers(1, 2**32 - 1),
        seed=st.integers(0, 2**32 - 1),
        mantissa=st.integers(1 << 14, (1 << 15) - 1),
        exponent=st.integers(-30, 10),
        epochs=st.integers(1, 3),
        batch=st.integers(1, BATCH),
        max_steps=st.integers(0, 9),
    ),
    draw=st.data(),
)
def test_every_round_is_what_the_specification_says(
    boot: Callable[..., Host],
    train: Samples,
    held_out: Samples,
    terms: Terms,
    draw: st.DataObject,
) -> None:
    device = draw.draw(st.integers(0, 2**64 - 1), "device")
    base = draw.draw(st.binary(min_size=PARAM_BYTES, max_size=PARAM_BYTES), "base")
    host = boot(data_image(train, held_out, device=device))
    host.greet()
    blob = host.collect(host.deliver(terms, base), terms.number)
    assert blob == expected_update(terms, device, base, train, held_out)


def test_update_does_not_depend_on_when_it_is_polled_or_read(
    boot: Callable[..., Host], image: bytes
) -> None:
    host = boot(image)
    host.greet(max_payload=64)
    terms = Terms()
    host.node.receive(encode_message(round_open(terms, BASE), SESSION, 0))
    for chunk in host.chunks(BASE, size=58):
        host.node.receive(encode_message(chunk, SESSION, 0))
    messages: list[Message] = []
    for _ in range(400):
        host.node.poll(host.now_ms)
        messages += host.take(host.node.transmit(7))
    assert host.collect(messages + host.settle()) == expected_update(
        terms, DEVICE, BASE, TRAIN, HELD_OUT
    )


def test_two_devices_in_one_process_do_not_touch_each_other(
    boot: Callable[..., Host], image: bytes
) -> None:
    other = Samples.random(8, seed=9)
    hosts = [boot(image), boot(data_image(other, HELD_OUT, device=7))]
    terms = Terms()
    for host in hosts:
        host.greet()
        host.node.receive(encode_message(round_open(terms, BASE), SESSION, 0))
        for chunk in host.chunks(BASE):
            host.node.receive(encode_message(chunk, SESSION, 0))
    messages: list[list[Message]] = [[], []]
    for _ in range(200):
        for index, host in enumerate(hosts):
            messages[index] += host.step()
    assert hosts[0].collect(messages[0]) == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)
    assert hosts[1].collect(messages[1]) == expected_update(terms, 7, BASE, other, HELD_OUT)


def test_each_poll_is_one_sample(host: Host) -> None:
    host.node.receive(encode_message(round_open(Terms(epochs=3), BASE), SESSION, 0))
    for chunk in host.chunks(BASE):
        host.node.receive(encode_message(chunk, SESSION, 0))
    polls = 0
    while status_step(host).phase != Phase.SENDING:
        polls += 1
    assert len(HELD_OUT.x) + 3 * len(TRAIN.x) <= polls <= len(HELD_OUT.x) + 3 * len(TRAIN.x) + 3


def status_step(host: Host) -> Status:
    """One piece of work, then a look at the status without letting any more be done."""
    host.step()
    host.node.receive(encode_message(StatusRequest(), SESSION, 0))
    return next(m for m in host.step() if isinstance(m, Status))


def test_status_is_answered_during_training(host: Host) -> None:
    host.node.receive(encode_message(round_open(Terms(), BASE), SESSION, 0))
    for chunk in host.chunks(BASE):
        host.node.receive(encode_message(chunk, SESSION, 0))
    phases = [status_step(host).phase for _ in range(10)]
    assert Phase.EVALUATING in phases
    assert Phase.TRAINING in phases


def test_uplink_of_a_round_costs_little_more_than_its_deltas(host: Host) -> None:
    before = host.bytes_up
    host.collect(host.deliver(Terms(), BASE, size=1000))
    host.send(Receipt(1, Verdict.ACCEPTED))
    frames = 2  # the acknowledgement of the parameters, and the update
    assert host.bytes_up - before <= 6 + (6 + TOTAL) + frames * (12 + 4 + 5 + 1)


# --- Receiving ------------------------------------------------------------------------------


def test_parameters_are_acknowledged_every_eight_chunks_and_at_the_end(host: Host) -> None:
    chunks = host.chunks(BASE, size=100)
    assert host.send(round_open(Terms(train=False), BASE)) == []
    seen = [acks(host.send(chunk)) for chunk in chunks]
    assert len(chunks) == 14
    assert seen == [[]] * 7 + [[800]] + [[]] * 5 + [[PARAM_BYTES]]


def test_a_gap_is_acknowledged_once_and_then_repaired(host: Host) -> None:
    chunks = host.chunks(BASE, size=100)
    host.send(round_open(Terms(), BASE), chunks[0])
    assert [acks(host.send(chunk)) for chunk in chunks[2:6]] == [[100], [], [], []]
    assert host.collect(host.send(*chunks[1:])) == expected_update(
        Terms(), DEVICE, BASE, TRAIN, HELD_OUT
    )


def test_a_duplicate_chunk_changes_nothing_and_is_acknowledged(host: Host) -> None:
    chunks = host.chunks(BASE, size=500)
    host.send(round_open(Terms(), BASE), chunks[0])
    wrong = replace(chunks[0], data=b"\xee" * 500)
    assert acks(host.send(wrong)) == [500]
    assert host.collect(host.send(*chunks[1:])) == expected_update(
        Terms(), DEVICE, BASE, TRAIN, HELD_OUT
    )


def test_repeating_the_terms_tells_how_far_it_is(host: Host) -> None:
    terms = round_open(Terms(), BASE)
    host.send(terms, *host.chunks(BASE, size=100)[:3])
    assert acks(host.send(terms)) == [300]
    assert status_of(host).phase == Phase.RECEIVING
    assert status_of(host).next_offset == 300


def test_a_blob_that_arrives_wrong_is_refused_and_may_come_again(host: Host) -> None:
    wrong = BASE[:-1] + b"\x01"
    answers = host.send(round_open(Terms(), BASE), *host.chunks(wrong))
    assert errors(answers) == [ErrorCode.BAD_DIGEST]
    assert acks(answers) == []
    assert status_of(host).next_offset == 0
    assert host.collect(host.send(*host.chunks(BASE))) == expected_update(
        Terms(), DEVICE, BASE, TRAIN, HELD_OUT
    )


def test_chunks_without_a_round_or_of_another_one_are_refused(host: Host) -> None:
    assert errors(host.send(Chunk(1, 0, b"x"))) == [ErrorCode.WRONG_ROUND]
    host.send(round_open(Terms(), BASE))
    assert errors(host.send(Chunk(2, 0, b"x"))) == [ErrorCode.WRONG_ROUND]
    assert errors(host.send(Chunk(1, PARAM_BYTES, b"x"))) == [ErrorCode.BAD_MESSAGE]
    assert status_of(host).next_offset == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"round": 0}, ErrorCode.BAD_MESSAGE),
        ({"work": 0}, ErrorCode.BAD_MESSAGE),
        ({"work": 4}, ErrorCode.UNSUPPORTED),
        ({"work": 5}, ErrorCode.BAD_MESSAGE),
        ({"work": 6}, ErrorCode.BAD_MESSAGE),
        ({"work": 8}, ErrorCode.BAD_MESSAGE),
        ({"epochs": 0}, ErrorCode.BAD_MESSAGE),
        ({"batch": 0}, ErrorCode.BAD_MESSAGE),
        ({"batch": BATCH + 1}, ErrorCode.BAD_MESSAGE),
        ({"lr_mantissa": (1 << 14) - 1}, ErrorCode.BAD_MESSAGE),
        ({"lr_mantissa": 1 << 15}, ErrorCode.BAD_MESSAGE),
        ({"model_digest": DIGEST[:-1] + b"\x00"}, ErrorCode.WRONG_MODEL),
        ({"blob_bytes": PARAM_BYTES - 1}, ErrorCode.WRONG_MODEL),
    ],
    ids=str,
)
def test_terms_that_cannot_be_met_are_refused(
    host: Host, change: dict[str, object], code: ErrorCode
) -> None:
    terms = round_open(Terms(), BASE)
    wrong: RoundOpen = replace(terms, **change)  # type: ignore[arg-type]
    assert errors(host.send(wrong)) == [code]
    assert status_of(host).phase == Phase.IDLE


@pytest.mark.parametrize(
    ("train", "held_out", "terms", "code"),
    [
        (0, 5, Terms(), ErrorCode.NO_DATA),
        (5, 0, Terms(train=False), ErrorCode.NO_DATA),
        (0, 0, Terms(), ErrorCode.NO_DATA),
    ],
)
def test_work_without_samples_is_refused(
    boot: Callable[..., Host], train: int, held_out: int, terms: Terms, code: ErrorCode
) -> None:
    host = boot(data_image(Samples.random(train, 1), Samples.random(held_out, 2)))
    host.greet()
    assert errors(host.send(round_open(terms, BASE))) == [code]


def test_a_device_with_a_damaged_image_refuses_rounds(
    boot: Callable[..., Host], image: bytes
) -> None:
    host = boot(image[:-1] + b"\x99")
    host.greet()
    assert errors(host.send(round_open(Terms(), BASE))) == [ErrorCode.BAD_IMAGE]


def test_a_refused_round_leaves_the_running_one_alone(host: Host) -> None:
    host.send(round_open(Terms(), BASE), *host.chunks(BASE, size=100)[:3])
    other = replace(round_open(Terms(number=2), BASE), batch=BATCH + 1)
    assert errors(host.send(other)) == [ErrorCode.BAD_MESSAGE]
    assert status_of(host).round == 1
    assert host.collect(host.send(*host.chunks(BASE, size=100)[3:])) == expected_update(
        Terms(), DEVICE, BASE, TRAIN, HELD_OUT
    )


def test_a_kernel_that_fails_is_reported_and_ends_the_round(boot: Callable[..., Host]) -> None:
    poisoned = Samples.random(4, seed=3)
    poisoned.x[2, 0] = POISON
    host = boot(data_image(poisoned, HELD_OUT))
    host.greet()
    answers = host.deliver(Terms(), BASE)
    assert [(m.code, m.message_id) for m in answers if isinstance(m, Error)] == [
        (ErrorCode.FAILED, RoundOpen.ID)
    ]
    assert status_of(host).phase == Phase.IDLE
