# SPDX-License-Identifier: Apache-2.0
"""A board whose flash controller is emulated too: what its flash keeps over resets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetgrad.boards import Board
from fleetgrad.toolchain import build_image
from fleetgrad.wire.framing import DELIMITER
from fleetgrad.wire.messages import (
    SCHEMA_HASH,
    Ack,
    Chunk,
    Hello,
    HelloRequest,
    Message,
    Receipt,
    Status,
    StatusRequest,
    Verdict,
)
from support.emulated import Machine, usable
from support.fake_model import (
    DEVICE,
    FAKE_BUNDLE,
    HELD_OUT,
    PARAM_BYTES,
    TRAIN,
    Terms,
    data_image,
    expected_update,
)
from support.node_host import round_open
from support.socket_line import run_round

pytestmark = pytest.mark.emulated

BASE = bytes(range(256)) * 5 + bytes(PARAM_BYTES - 1280)
EXPECTED = expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)


@pytest.fixture(scope="module")
def microbit() -> Board:
    return usable("microbit")


@pytest.fixture
def machine(microbit: Board, tmp_path: Path) -> Iterator[Machine]:
    elf = build_image(FAKE_BUNDLE, microbit, "node", tmp_path).path
    with Machine(microbit, elf, tmp_path, data_image(TRAIN, HELD_OUT)) as board:
        yield board


def reset(machine: Machine) -> Hello:
    """What the board says of itself afterwards, in a session."""
    machine.reset()
    while True:  # what it sent before may still be on its way
        message = machine.line.next()
        if isinstance(message, Hello):
            break
    machine.line.connection.sendall(DELIMITER)
    machine.line.send(HelloRequest(1, 1, 1024, SCHEMA_HASH))
    return machine.hello()


def test_update_in_flash_outlives_resets(machine: Machine, microbit: Board) -> None:
    hello = machine.hello()
    assert (hello.round, hello.store_erases) == (0, 0)
    assert hello.store_bytes == microbit.store_bytes // 2 - 36
    assert run_round(machine.line, Terms(), BASE) == EXPECTED
    for _ in range(2):
        hello = reset(machine)
        assert (hello.round, hello.version_tag) == (1, Terms().version_tag)
        assert hello.update_crc == int.from_bytes(EXPECTED[:4], "little")
        assert hello.store_erases == 2
        blob = EXPECTED[:300]
        machine.line.send(round_open(Terms(), BASE), Ack(1, len(blob)))
        while len(blob) < len(EXPECTED):
            message = machine.line.next()
            if isinstance(message, Chunk) and message.offset == len(blob):
                blob += message.data
                machine.line.send(Ack(1, len(blob)))
        assert blob == EXPECTED
    machine.line.send(Receipt(1, Verdict.ACCEPTED), StatusRequest())
    while not isinstance(machine.line.next(), Status):
        pass  # it has heard the receipt once it answers what came behind it
    assert reset(machine).round == 0


def test_parameters_in_flash_outlive_a_reset(machine: Machine) -> None:
    machine.hello()
    machine.line.connection.sendall(DELIMITER)
    machine.line.send(HelloRequest(1, 1, 1024, SCHEMA_HASH))
    machine.hello()
    chunks = [Chunk(1, at, BASE[at : at + 100]) for at in range(0, 800, 100)]
    machine.line.send(round_open(Terms(), BASE), *chunks)
    assert acknowledged(machine, []) == 800
    hello = reset(machine)
    assert (hello.round, hello.update_crc) == (1, 0)
    held = acknowledged(machine, [round_open(Terms(), BASE)])
    assert held == 800 // 60 * 60
    machine.line.send(Chunk(1, held, BASE[held:]))
    blob = b""
    while len(blob) < len(EXPECTED):
        message = machine.line.next()
        if isinstance(message, Chunk) and message.offset == len(blob):
            blob += message.data
            machine.line.send(Ack(1, len(blob)))
    assert blob == EXPECTED


def acknowledged(machine: Machine, messages: list[Message]) -> int:
    """The offset of the next acknowledgement."""
    machine.line.send(*messages)
    while True:
        message = machine.line.next()
        if isinstance(message, Ack):
            return message.next_offset
