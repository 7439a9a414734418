# SPDX-License-Identifier: Apache-2.0
"""Sessions: who may talk to a device, and what it says to everybody else."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgrad.boards import Board
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_frame, encode_message
from fleetgrad.wire.messages import (
    PAYLOAD_MAX,
    PAYLOAD_MIN,
    SCHEMA_HASH,
    WIRE_VERSION,
    Abort,
    Ack,
    Chunk,
    Error,
    ErrorCode,
    Hello,
    HelloRequest,
    Phase,
    Receipt,
    RoundOpen,
    Status,
    StatusRequest,
)
from fleetgrad_codegen.bundle import generate
from support.fake_model import (
    DEVICE,
    DIGEST,
    FAKE_BUNDLE,
    HELD_OUT,
    PARAM_BYTES,
    TRAIN,
    Samples,
    Terms,
    data_image,
    expected_update,
)
from support.models import small_cnn
from support.native_node import NativeNode
from support.node_host import SESSION, Host, round_open

EMPTY = Samples.random(0, seed=0)


def test_boot_is_announced_once_and_unasked(library: Library, image: bytes) -> None:
    node = NativeNode(library, image, boot_count=3, firmware_hash=0xF00D)
    data, more = node.run(0)
    assert data.startswith(DELIMITER)
    (frame,) = FrameDecoder().feed(data)
    assert isinstance(frame, Frame)
    assert frame.session == 0
    assert frame.message() == Hello(
        1,
        1,
        PAYLOAD_MAX,
        SCHEMA_HASH,
        DEVICE,
        DIGEST,
        0xF00D,
        3,
        len(TRAIN.x),
        len(HELD_OUT.x),
        0,
        0,
        0,
        0,
        0,
        0,
    )
    assert not more
    assert node.run(1_000_000) == (b"", False)
    assert node.wait_ms(0) is None


def test_greeting_opens_the_session_and_may_be_repeated(
    boot: Callable[..., Host], image: bytes
) -> None:
    host = boot(image)
    first = host.greet()
    assert host.greet() == first
    assert first.device_id == DEVICE
    assert {frame.session for frame in host.frames[1:]} == {SESSION}


def test_a_foreign_session_is_refused_under_its_own_number(host: Host) -> None:
    (answer,) = host.send(StatusRequest(), session=99)
    assert answer == Error(ErrorCode.NO_SESSION, StatusRequest.ID, SESSION)
    assert host.frames[-1].session == 99


def test_nothing_but_a_greeting_is_heard_before_the_first_session(
    boot: Callable[..., Host], image: bytes
) -> None:
    host = boot(image)
    (answer,) = host.send(StatusRequest())
    assert answer == Error(ErrorCode.NO_SESSION, StatusRequest.ID, 0)


def test_session_zero_cannot_be_opened(host: Host) -> None:
    (answer,) = host.send(HelloRequest(1, 1, 256, SCHEMA_HASH), session=0)
    assert answer == Error(ErrorCode.BAD_MESSAGE, HelloRequest.ID, 0)


def test_another_version_or_schema_still_learns_who_is_there(
    boot: Callable[..., Host], image: bytes
) -> None:
    host = boot(image)
    (answer,) = host.send(HelloRequest(2, 9, 256, 0xDEADBEEF), session=5)
    assert isinstance(answer, Hello)
    assert answer.schema_hash == SCHEMA_HASH
    assert (answer.version_min, answer.version_max) == (1, 1)


def test_status_tells_phase_and_dropped_frames(host: Host) -> None:
    assert host.send(StatusRequest()) == [Status(Phase.IDLE, 0, 0, 0, 0)]
    host.raw(b"not a frame\x00")
    assert host.send(StatusRequest()) == [Status(Phase.IDLE, 0, 0, 0, 1)]


def test_log_text_and_a_damaged_frame_are_skipped_and_counted(host: Host) -> None:
    damaged = bytearray(encode_message(StatusRequest(), SESSION, 0))
    damaged[3] ^= 0x10
    answers = host.raw(b"boot: clock ok\r\n" + DELIMITER + bytes(damaged))
    assert answers == []
    (status,) = host.send(StatusRequest())
    assert isinstance(status, Status)
    assert status.frames_bad == 2


@pytest.mark.parametrize("seed", range(20))
def test_garbage_neither_stops_nor_deceives_it(host: Host, seed: int) -> None:
    rng = random.Random(seed)
    answers = host.raw(rng.randbytes(5000))
    assert answers == []
    host.raw(DELIMITER)
    assert isinstance(host.send(StatusRequest())[0], Status)


@pytest.mark.parametrize("seed", range(10))
def test_frames_cut_and_spliced_at_random_give_nothing_wrong(host: Host, seed: int) -> None:
    rng = random.Random(seed)
    frames = [encode_message(StatusRequest(), SESSION, n) for n in range(50)]
    stream = bytearray(b"".join(frames))
    for _ in range(30):
        at = rng.randrange(len(stream))
        stream[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
    answers = host.raw(bytes(stream) + DELIMITER)
    assert all(isinstance(answer, Status) for answer in answers)
    assert isinstance(host.send(StatusRequest())[0], Status)


@pytest.mark.parametrize(
    "message_id", [HelloRequest.ID, 0x10, Chunk.ID, Ack.ID, Receipt.ID, Abort.ID]
)
def test_a_short_payload_is_a_bad_message(host: Host, message_id: int) -> None:
    frame = encode_frame(Frame(message_id, SESSION, 0, b"\x01"))
    assert host.raw(frame) == [Error(ErrorCode.BAD_MESSAGE, message_id, 0)]


def test_an_unknown_message_is_refused(host: Host) -> None:
    assert host.raw(encode_frame(Frame(0x7E, SESSION, 0, b""))) == [
        Error(ErrorCode.BAD_MESSAGE, 0x7E, 0)
    ]


def test_a_frame_as_long_as_frames_get_is_understood(host: Host) -> None:
    chunk = Chunk(1, 0, bytes(PAYLOAD_MAX - 6))
    assert host.send(chunk) == [Error(ErrorCode.WRONG_ROUND, Chunk.ID, 0)]


def test_an_overlong_frame_is_dropped_and_the_next_one_heard(host: Host) -> None:
    host.raw(b"\xff" * 5000 + DELIMITER)
    (status,) = host.send(StatusRequest())
    assert isinstance(status, Status)
    assert status.frames_bad == 1


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("none at all", ErrorCode.BAD_IMAGE),
        ("cut off", ErrorCode.BAD_IMAGE),
        ("damaged payload", ErrorCode.BAD_IMAGE),
        ("damaged header", ErrorCode.BAD_IMAGE),
        ("of another version", ErrorCode.BAD_IMAGE),
        ("for another input", ErrorCode.BAD_IMAGE),
        ("vectors for a classifier", ErrorCode.BAD_IMAGE),
        ("labels out of range", ErrorCode.BAD_IMAGE),
        ("empty", ErrorCode.NO_DATA),
    ],
)
def test_a_device_that_cannot_work_says_why(
    boot: Callable[..., Host], image: bytes, what: str, problem: ErrorCode
) -> None:
    high = Samples(TRAIN.x, TRAIN.y + 200)
    images = {
        "none at all": None,
        "cut off": image[:-1],
        "damaged payload": image[:200] + b"\x55" + image[201:],
        "damaged header": image[:17] + b"\x55" + image[18:],
        "of another version": data_image(TRAIN, HELD_OUT, version=2),
        "for another input": data_image(TRAIN, HELD_OUT, sample_bytes=32, target_bytes=2),
        "vectors for a classifier": data_image(TRAIN, HELD_OUT, kind=2),
        "labels out of range": data_image(high, HELD_OUT),
        "empty": data_image(EMPTY, EMPTY),
    }
    hello = boot(images[what]).greet()
    assert hello.problem == problem
    assert (hello.train_samples, hello.eval_samples) == (0, 0)


def test_a_damaged_payload_leaves_the_identity_readable(
    boot: Callable[..., Host], image: bytes
) -> None:
    assert boot(image[:-1] + b"\x99").greet().device_id == DEVICE


def test_a_region_longer_than_its_image_is_fine(boot: Callable[..., Host], image: bytes) -> None:
    assert boot(image + b"\xff" * 1000).greet().problem == 0


@pytest.mark.parametrize("size", range(0, 64, 7))
def test_a_header_cut_anywhere_is_a_bad_image(
    boot: Callable[..., Host], image: bytes, size: int
) -> None:
    assert boot(image[:size]).greet().problem == ErrorCode.BAD_IMAGE


def test_sizes_that_overflow_are_a_bad_image(boot: Callable[..., Host], image: bytes) -> None:
    import zlib

    for at in (20, 24, 32, 36):
        header = bytearray(image[:60])
        header[at : at + 4] = b"\xff\xff\xff\xff"
        bad = bytes(header) + zlib.crc32(header).to_bytes(4, "little") + image[64:]
        assert boot(bad).greet().problem == ErrorCode.BAD_IMAGE


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([HelloRequest.ID, 0x04, 0x10, 0x11, 0x12, 0x13, 0x14, 0x02, 0x7F]),
            st.binary(max_size=60),
            st.integers(0, 40),
        ),
        max_size=30,
    ),
    opened=st.booleans(),
)
def test_no_sequence_of_intact_frames_confuses_it(
    boot: Callable[..., Host],
    image: bytes,
    frames: list[tuple[int, bytes, int]],
    opened: bool,
) -> None:
    """Payloads of any content and length, to an idle device and into a round."""
    host = boot(image)
    host.greet()
    terms = round_open(Terms(), bytes(PARAM_BYTES)).pack()
    if opened:
        host.raw(encode_frame(Frame(0x10, SESSION, 0, terms)))
    for kind, payload, keep in frames:
        # Half right: the beginning of good terms makes some frames pass the first checks.
        mixed = terms[:keep] + payload if kind == 0x10 else payload
        host.raw(encode_frame(Frame(kind, SESSION, 0, mixed)))
    assert host.greet().device_id == DEVICE
    host.send(Abort(1))
    assert isinstance(host.send(StatusRequest())[-1], Status)


@pytest.mark.parametrize("terms", [Terms(), Terms(evaluate=False), Terms(train=False)], ids=str)
def test_a_model_that_does_not_train_refuses_every_round(
    native_board: Board, tmp_path: Path, terms: Terms
) -> None:
    bundle = generate(small_cnn(np.random.default_rng(1), classes=10), "still")
    bundle.write(tmp_path / "bundle")
    sanitize = bool(os.environ.get("FLEETGRAD_TEST_SANITIZED"))
    made = build_image(tmp_path / "bundle", native_board, "library", tmp_path, sanitize=sanitize)
    host = Host(NativeNode(Library(made.path), data_image(TRAIN, HELD_OUT)))
    host.settle()
    assert host.greet().problem == 0
    (refusal,) = host.send(round_open(terms, b"", bundle.digest[:8]))
    assert refusal == Error(ErrorCode.UNSUPPORTED, RoundOpen.ID, 0)


def test_a_device_of_small_frames_never_sends_larger_ones_not_even_to_a_host_of_another_schema(
    native_board: Board, image: bytes, tmp_path: Path
) -> None:
    small = f"-DFG_NODE_PAYLOAD_MAX={PAYLOAD_MIN}U"
    compiler = replace(native_board.compiler, flags=(*native_board.compiler.flags, small))
    board = replace(native_board, compiler=compiler)
    sanitize = bool(os.environ.get("FLEETGRAD_TEST_SANITIZED"))
    made = build_image(FAKE_BUNDLE, board, "library", tmp_path, sanitize=sanitize)
    host = Host(NativeNode(Library(made.path), image))
    host.settle()
    host.send(HelloRequest(WIRE_VERSION, WIRE_VERSION, PAYLOAD_MAX, SCHEMA_HASH ^ 1))
    terms = Terms()
    base = bytes(PARAM_BYTES)
    blob = host.collect(host.deliver(terms, base, size=50))
    assert blob == expected_update(terms, DEVICE, base, TRAIN, HELD_OUT)
    assert max(len(frame.payload) for frame in host.frames) == PAYLOAD_MIN
