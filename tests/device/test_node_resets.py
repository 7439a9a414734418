# SPDX-License-Identifier: Apache-2.0
"""A node with flash: what a reset leaves of a round, and how it goes on from there."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable

import pytest

from fleetgrad.device import (
    Arrived,
    DeviceEvent,
    DeviceSession,
    Expected,
    Joined,
    Patience,
    Shape,
)
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import (
    SCHEMA_HASH,
    Abort,
    Ack,
    Chunk,
    Hello,
    HelloRequest,
    Phase,
    Receipt,
    Verdict,
)
from support.fake_model import (
    CLASSES,
    DEVICE,
    DIGEST,
    HELD_OUT,
    INPUTS,
    PARAM_BYTES,
    TRAIN,
    Samples,
    Terms,
    data_image,
    expected_update,
)
from support.native_node import NativeNode
from support.node_host import Host, acks, round_open, status_of

BASE = random.Random(5).randbytes(40) + bytes(PARAM_BYTES - 40)
EXPECTED = expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)
CRC = int.from_bytes(EXPECTED[:4], "little")
KIB = 1024


class Board:
    """A board whose flash outlives every reset."""

    def __init__(self, library: Library, image: bytes, flash_bytes: int = 8 * KIB) -> None:
        self.flash = (ctypes.c_uint8 * flash_bytes)()
        ctypes.memset(self.flash, 0xFF, flash_bytes)
        self.image = image
        self.boots = 0
        self._library = library

    def reset(self, max_payload: int = 1024) -> tuple[Host, Hello]:
        """Starts it, and greets it in a session of its own."""
        self.boots += 1
        node = NativeNode(self._library, self.image, boot_count=self.boots, flash=self.flash)
        host = Host(node, session=1000 + self.boots)
        host.settle()
        return host, host.greet(max_payload)


@pytest.fixture
def board(library: Library, image: bytes) -> Board:
    return Board(library, image)


def test_update_is_kept_until_its_receipt(board: Board) -> None:
    host, hello = board.reset()
    assert (hello.round, hello.update_crc, hello.store_bytes) == (0, 0, 4 * KIB - 36)
    assert host.collect(host.deliver(Terms(), BASE)) == EXPECTED
    for _ in range(3):
        host, hello = board.reset()
        assert (hello.round, hello.version_tag, hello.update_crc) == (1, Terms().version_tag, CRC)
        assert status_of(host).phase == Phase.SENDING
        answers = host.send(round_open(Terms(), BASE))
        assert acks(answers) == [PARAM_BYTES], "no parameter is sent again"
        assert host.collect(answers) == EXPECTED
    host.send(Receipt(1, Verdict.ACCEPTED))
    _, hello = board.reset()
    assert (hello.round, hello.version_tag, hello.update_crc) == (0, 0, 0)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_frees_the_store(board: Board, verdict: Verdict) -> None:
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    host, _ = board.reset()
    host.send(Receipt(2, verdict))
    assert host.greet().round == 1, "a receipt of another round"
    host.send(Receipt(1, verdict))
    assert board.reset()[1].round == 0


def test_update_goes_on_at_the_offset_that_the_host_holds(board: Board) -> None:
    host, _ = board.reset()
    host.deliver(Terms(), BASE)
    host, _ = board.reset(max_payload=64)
    answers = host.send(round_open(Terms(), BASE), Ack(1, 333))
    chunks = [m for m in answers if isinstance(m, Chunk)]
    assert chunks[0].offset == 333
    assert chunks[0].data == EXPECTED[333 : 333 + len(chunks[0].data)]


def test_parameters_go_on_at_the_offset_that_the_device_holds(board: Board) -> None:
    host, _ = board.reset()
    chunks = host.chunks(BASE, size=100)
    for lost in (5, 9):
        host.send(round_open(Terms(), BASE), *chunks[:lost])
        host, hello = board.reset()
        held = lost * 100 // 60 * 60
        assert (hello.round, hello.version_tag, hello.update_crc) == (1, Terms().version_tag, 0)
        assert status_of(host).next_offset == held
        assert acks(host.send(round_open(Terms(), BASE))) == [held]
    rest = [Chunk(1, at, BASE[at : at + 100]) for at in range(held, PARAM_BYTES, 100)]
    assert host.collect(host.send(*rest)) == EXPECTED


def test_reset_while_it_trains_needs_no_parameters_again(board: Board) -> None:
    steps, pieces = 0, True
    while pieces:
        fresh = Board(board._library, board.image)
        host, _ = fresh.reset()
        host.node.receive(encode_message(round_open(Terms(), BASE), host.session, 0))
        for chunk in host.chunks(BASE):
            host.node.receive(encode_message(chunk, host.session, 0))
        for _ in range(steps):
            host.step()
        pieces = status_of(host).phase != Phase.SENDING if steps else True
        host, hello = fresh.reset()
        assert hello.round == 1
        answers = host.send(round_open(Terms(), BASE))
        assert acks(answers)[0] == PARAM_BYTES
        assert host.collect(answers) == EXPECTED
        steps += 1
    assert steps > 15


def test_reset_at_every_step_of_a_round(board: Board) -> None:
    """Whatever a device was doing, the round ends with the one right update, or is begun anew."""
    terms, seen = Terms(epochs=1), set()
    expected = expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)
    frames = [round_open(terms, BASE), *board_chunks(64)]
    for step in range(400):
        fresh = Board(board._library, board.image)
        host, _ = fresh.reset(64)
        arrived = drive(host, frames, step)
        host, hello = fresh.reset(64)
        seen.add((hello.round, hello.update_crc != 0))
        answers = host.send(round_open(terms, BASE))
        (have,) = acks(answers) or [0]
        rest = [Chunk(1, at, BASE[at : at + 58]) for at in range(have, PARAM_BYTES, 58)]
        answers += host.send(*rest)
        assert host.collect([m for m in answers if isinstance(m, Chunk)]) == expected
        if arrived == expected:
            break
    assert seen == {(0, False), (1, False), (1, True)}
    assert arrived == expected


def board_chunks(payload: int) -> list[Chunk]:
    size = payload - Chunk.BYTES
    return [Chunk(1, at, BASE[at : at + size]) for at in range(0, PARAM_BYTES, size)]


def drive(host: Host, frames: list[Chunk | object], steps: int) -> bytes:
    """A frame down and a piece of work at each step; returns what has come up by then."""
    blob, waiting = b"", list(frames)
    for _ in range(steps):
        if waiting:
            host.node.receive(encode_message(waiting.pop(0), host.session, 0))  # type: ignore[arg-type]
        for message in host.step():
            if isinstance(message, Chunk) and message.offset == len(blob):
                blob += message.data
                host.node.receive(encode_message(Ack(1, len(blob)), host.session, 0))
    return blob


@pytest.mark.parametrize(
    "other", [Terms(version_tag=5), Terms(seed=8), Terms(number=2), Terms(epochs=1)]
)
def test_other_terms_replace_what_was_kept(board: Board, other: Terms) -> None:
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    host, _ = board.reset()
    answers = host.deliver(other, BASE)
    expected = expected_update(other, DEVICE, BASE, TRAIN, HELD_OUT)
    assert host.collect(answers, other.number) == expected
    _, hello = board.reset()
    assert (hello.round, hello.version_tag) == (other.number, other.version_tag)
    assert hello.update_crc == int.from_bytes(expected[:4], "little")


def test_abort_frees_the_store_too(board: Board) -> None:
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    host, _ = board.reset()
    host.send(Abort(1))
    host, hello = board.reset()
    assert hello.round == 0
    assert host.collect(host.deliver(Terms(), BASE)) == EXPECTED


def test_update_of_another_device_is_not_announced(board: Board) -> None:
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    board.image = data_image(TRAIN, HELD_OUT, device=DEVICE + 1)
    assert board.reset()[1].round == 0
    host, _ = board.reset()
    host.send(round_open(Terms(), BASE), *host.chunks(BASE, size=100)[:5])
    board.image = data_image(TRAIN, HELD_OUT, device=DEVICE)
    assert board.reset()[1].round == 0


def test_update_from_other_samples_is_not_announced(board: Board) -> None:
    """The terms of a run's first round may well be the same with other data."""
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    other = Samples.random(len(TRAIN.x), seed=77)
    board.image = data_image(other, HELD_OUT, device=DEVICE)
    host, hello = board.reset()
    assert hello.round == 0
    expected = expected_update(Terms(), DEVICE, BASE, other, HELD_OUT)
    assert host.collect(host.deliver(Terms(), BASE)) == expected


def test_erasures_are_two_for_a_round_that_trains(board: Board) -> None:
    host, hello = board.reset()
    assert hello.store_erases == 0
    for number in range(1, 4):
        host.collect(host.deliver(Terms(number=number), BASE), number)
        assert host.greet().store_erases == 2 * number
        host.send(Receipt(number, Verdict.ACCEPTED))
        host, hello = board.reset()
        assert hello.store_erases == 2 * number
    host.collect(host.deliver(Terms(number=9, train=False), BASE), 9)
    assert host.greet().store_erases == 6, "what only evaluates costs no erasure"
    host.send(round_open(Terms(number=10), BASE), *host.chunks(BASE, 10, size=100)[:3])
    assert board.reset()[1].store_erases == 7, "of a journal, after a reset"


def test_damaged_flash_gives_nothing_wrong(board: Board) -> None:
    dice = random.Random(3)
    host, _ = board.reset()
    host.deliver(Terms(), BASE)
    kept = bytes(board.flash)
    used = [i for i, cell in enumerate(kept) if cell != 0xFF]
    for _ in range(60):
        ctypes.memmove(board.flash, kept, len(kept))
        board.flash[dice.choice(used)] ^= 1 << dice.randrange(8)
        host, hello = board.reset()
        assert hello.update_crc in (0, CRC)
        assert host.collect(host.deliver(Terms(), BASE)) == EXPECTED


@pytest.mark.parametrize("flash_bytes", [0, 1 * KIB, 2 * KIB - 1])
def test_flash_that_is_too_small_is_none(library: Library, image: bytes, flash_bytes: int) -> None:
    board = Board(library, image, flash_bytes)
    host, hello = board.reset()
    assert hello.store_bytes == 0
    assert host.collect(host.deliver(Terms(), BASE)) == EXPECTED
    assert board.reset()[1].round == 0


def test_slot_that_takes_half_the_parameters_keeps_half(library: Library, image: bytes) -> None:
    board = Board(library, image, 2 * KIB)
    host, hello = board.reset()
    assert hello.store_bytes == KIB - 36
    host.send(round_open(Terms(), BASE), *host.chunks(BASE)[:6])
    host, _ = board.reset()
    assert acks(host.send(round_open(Terms(), BASE))) == [15 * 60]
    assert host.collect(host.deliver(Terms(), BASE)) == EXPECTED
    assert board.reset()[1].update_crc == CRC


def test_flash_full_of_garbage_is_empty(library: Library, image: bytes) -> None:
    board = Board(library, image)
    ctypes.memmove(board.flash, random.Random(1).randbytes(len(board.flash)), len(board.flash))
    host, hello = board.reset()
    assert (hello.round, hello.store_erases) == (0, 0)
    assert host.collect(host.deliver(Terms(), BASE)) == EXPECTED
    assert board.reset()[1].update_crc == CRC


def test_session_that_begins_before_the_terms_gets_nothing(board: Board) -> None:
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    host, _ = board.reset()
    host.now_ms += 60_000
    assert host.settle() == []
    host.session = 0x777
    host.node.receive(DELIMITER)
    request = HelloRequest(1, 1, 1024, SCHEMA_HASH)
    assert any(isinstance(m, Hello) for m in host.send(request))
    assert host.collect(host.send(round_open(Terms(), BASE))) == EXPECTED


def test_kept_update_outlives_a_boot_without_a_host(
    board: Board, boot: Callable[..., Host]
) -> None:
    host, _ = board.reset()
    host.collect(host.deliver(Terms(), BASE))
    for _ in range(3):
        board.boots += 1
        node = NativeNode(board._library, board.image, boot_count=board.boots, flash=board.flash)
        node.run(0)
    assert board.reset()[1].update_crc == CRC
    assert boot(board.image).greet().round == 0, "a board without flash has nothing to keep"


class Cable:
    """The host's session on one end, a board that is reset now and then on the other."""

    def __init__(self, board: Board, max_payload: int = 128) -> None:
        shape = Shape((("bias", CLASSES), ("weight", CLASSES * INPUTS)))
        self.session = DeviceSession(
            Expected(DEVICE, DIGEST, shape), 5, 0.0, Patience(), max_payload=max_payload
        )
        self.board, self.ms = board, 0
        self.up: list[Chunk] = []
        self.down: list[Chunk] = []
        self.events: list[DeviceEvent] = []
        self._power_up()

    def _power_up(self) -> None:
        self.board.boots += 1
        self.node = NativeNode(
            self.board._library, self.board.image,
            boot_count=self.board.boots, flash=self.board.flash,
        )  # fmt: skip
        self._spies = FrameDecoder(), FrameDecoder()

    def run(self, until: Callable[[], bool]) -> None:
        """Lets time pass until something is so."""
        while not until():
            self.ms += 1
            assert self.ms < 60_000
            data, _ = self.node.run(self.ms, pieces=1)
            self.up += _chunks(self._spies[0], data)
            self.events += self.session.receive(data, self.ms / 1000)
            self.events += self.session.tick(self.ms / 1000)
            while data := self.session.take(self.ms / 1000):
                self.down += _chunks(self._spies[1], data)
                self.node.receive(data)

    def reset(self) -> None:
        """The board starts again, and what was seen so far is forgotten."""
        self.up.clear()
        self.down.clear()
        self._power_up()


def _chunks(spy: FrameDecoder, data: bytes) -> list[Chunk]:
    frames = [item for item in spy.feed(data) if isinstance(item, Frame)]
    return [m for m in (frame.message() for frame in frames) if isinstance(m, Chunk)]


def test_host_and_board_go_on_where_each_of_them_was(board: Board) -> None:
    cable = Cable(board)
    cable.run(lambda: cable.session.ready)
    cable.session.open_round(round_open(Terms(), BASE), BASE, cable.ms / 1000)
    cable.run(lambda: len(cable.down) >= 5)
    cable.reset()
    cable.run(lambda: len(cable.down) >= 1)
    assert cable.down[0].offset >= 5 * 122 // 60 * 60 - 60
    cable.run(lambda: len(cable.up) >= 4)
    had = sum(len(chunk.data) for chunk in cable.up)
    cable.reset()
    cable.run(lambda: len(cable.events) > 0 and isinstance(cable.events[-1], Arrived))
    assert cable.down == [], "the board holds the update: no parameters are needed"
    assert cable.up[0].offset >= had - 122
    assert sum(len(chunk.data) for chunk in cable.up) <= len(EXPECTED) - had + 122
    arrived = cable.events[-1]
    assert isinstance(arrived, Arrived)
    assert arrived.update.blob == EXPECTED
    joined = [event for event in cable.events if isinstance(event, Joined)]
    assert [event.holds_round for event in joined] == [0, 0, 1]
    assert joined[-1].holds_version == Terms().version_tag
    cable.session.receipt(1, Verdict.ACCEPTED)
    told = cable.ms
    cable.run(lambda: cable.ms >= told + 3)
    assert board.reset()[1].round == 0
