# SPDX-License-Identifier: Apache-2.0
"""The node's firmware on an emulated Cortex-M4 board, over its UART."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleetgrad.boards import Board
from fleetgrad.toolchain import Image, build_image
from fleetgrad.wire.messages import (
    Chunk,
    Error,
    ErrorCode,
    Hello,
    Phase,
    Status,
    StatusRequest,
)
from support.emulated import Machine
from support.fake_model import (
    CRASH,
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
from support.node_host import SESSION, round_open
from support.socket_line import run_round

pytestmark = pytest.mark.emulated

BASE = bytes(range(256)) * 5 + bytes(PARAM_BYTES - 1280)


@pytest.fixture(scope="session")
def firmware(mps2: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(FAKE_BUNDLE, mps2, "node", tmp_path_factory.mktemp("firmware"))


Boot = Callable[..., Machine]


@pytest.fixture
def boot(mps2: Board, firmware: Image, tmp_path: Path) -> Iterator[Boot]:
    """Starts a board and ends it with the test."""
    with ExitStack() as machines:
        yield lambda image, **how: machines.enter_context(
            Machine(mps2, firmware.path, tmp_path, image, **how)
        )


@pytest.fixture
def image() -> bytes:
    return data_image(TRAIN, HELD_OUT, boot_base=40)


def test_a_board_says_who_it_is(boot: Boot, image: bytes, firmware: Image) -> None:
    hello = boot(image).hello()
    assert (hello.device_id, hello.model_digest) == (DEVICE, DIGEST)
    assert (hello.train_samples, hello.eval_samples) == (len(TRAIN.x), len(HELD_OUT.x))
    assert (hello.boot_count, hello.problem) == (41, 0)
    assert hello.firmware_hash == firmware.firmware_hash


def test_an_unprogrammed_flash_is_a_missing_image(boot: Boot) -> None:
    hello = boot(None).hello()
    assert (hello.device_id, hello.problem) == (0, ErrorCode.BAD_IMAGE)


@pytest.mark.parametrize("icount", [None, 5])
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_board_computes_what_the_specification_says(
    boot: Boot, image: bytes, unix: bool, icount: int | None
) -> None:
    line = boot(image, unix=unix, icount=icount).line
    for terms in (Terms(), Terms(number=2, batch=1, epochs=3, seed=12)):
        update = run_round(line, terms, BASE)
        assert update == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)


def test_a_fault_restarts_the_board_and_counts(boot: Boot) -> None:
    fatal = Samples.random(3, seed=8)
    fatal.x[1, 1] = CRASH
    machine = boot(data_image(fatal, HELD_OUT, boot_base=7))
    assert machine.hello().boot_count == 8
    for boots in (9, 10):
        machine.greet()
        machine.line.send(round_open(Terms(), BASE), Chunk(1, 0, BASE[:1000]))
        machine.line.send(Chunk(1, 1000, BASE[1000:]))
        message = machine.line.next()
        while not isinstance(message, Hello):
            message = machine.line.next()
        assert message.boot_count == boots
        machine.line.send(StatusRequest())
        refused = machine.line.next()
        assert isinstance(refused, Error)
        assert refused.code == ErrorCode.NO_SESSION


def test_noise_on_the_line_is_survived(boot: Boot, image: bytes) -> None:
    machine = boot(image)
    machine.hello()
    machine.line.connection.sendall(b"U-Boot 2026.01\r\n" + os.urandom(3000))
    update = run_round(machine.line, Terms(), BASE)
    assert update == expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)
    machine.line.send(StatusRequest())
    status = machine.line.next()
    assert isinstance(status, Status)
    assert status.phase == Phase.DONE
    assert status.frames_bad > 0


def test_an_unacknowledged_update_comes_again_on_the_boards_own_clock(
    boot: Boot, image: bytes
) -> None:
    machine = boot(image)
    machine.hello()
    machine.greet()
    machine.line.send(round_open(Terms(), BASE), Chunk(1, 0, BASE[:1000]))
    machine.line.send(Chunk(1, 1000, BASE[1000:]))
    times = []
    while len(times) < 3:
        if isinstance(machine.line.next(), Chunk):
            times.append(time.monotonic())
    assert 0.9 < times[1] - times[0] < 1.5
    assert 1.9 < times[2] - times[1] < 2.7


def test_an_idle_board_sleeps(boot: Boot, image: bytes) -> None:
    machine = boot(image)
    machine.hello()
    machine.greet()
    before = machine.cpu_seconds()
    time.sleep(2)
    assert machine.cpu_seconds() - before <= 0.1
    machine.line.send(StatusRequest())
    assert isinstance(machine.line.next(), Status)


def test_line_is_fast_enough_for_a_fleet(boot: Boot, image: bytes) -> None:
    machine = boot(image)
    machine.hello()
    machine.greet()
    count = 20
    start = time.monotonic()
    for number in range(count):
        machine.line.send(Chunk(number, 0, bytes(1000)))  # refused, but received and checked
        while not isinstance(machine.line.next(), Error):
            pass
    assert count * 1000 / (time.monotonic() - start) > 2000
    assert SESSION
