# SPDX-License-Identifier: Apache-2.0
"""The node as a process: its line, its files, its end."""

from __future__ import annotations

import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetgrad.boards import Board
from fleetgrad.toolchain import Image, build_image
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import SCHEMA_HASH, Hello, HelloRequest
from support.fake_model import (
    DEVICE,
    DIGEST,
    FAKE_BUNDLE,
    HELD_OUT,
    PARAM_BYTES,
    TRAIN,
    Terms,
    expected_update,
)
from support.node_host import SESSION
from support.socket_line import Line, run_round

BASE = bytes(PARAM_BYTES)


@pytest.fixture(scope="session")
def node(native_board: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(FAKE_BUNDLE, native_board, "node", tmp_path_factory.mktemp("node"))


@pytest.fixture
def image_file(tmp_path: Path, image: bytes) -> Path:
    path = tmp_path / "image.bin"
    path.write_bytes(image)
    return path


def start(node: Image, *arguments: str | Path, **how: Any) -> tuple[subprocess.Popen[bytes], Line]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        port = server.getsockname()[1]
        command = [node.path, "--connect", f"127.0.0.1:{port}", *arguments]
        process = subprocess.Popen(command, **how)
        connection, _ = server.accept()
    connection.settimeout(10)
    return process, Line(connection)


@pytest.fixture
def running(node: Image, image_file: Path, tmp_path: Path) -> Iterator[Line]:
    process, line = start(node, "--image", image_file, "--boots", tmp_path / "boots")
    yield line
    line.connection.close()
    assert process.wait(10) == 0


def test_a_process_runs_a_round_over_tcp(running: Line) -> None:
    hello = running.next()
    assert isinstance(hello, Hello)
    assert (hello.device_id, hello.model_digest, hello.boot_count) == (DEVICE, DIGEST, 1)
    terms = Terms()
    assert run_round(running, terms, BASE) == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)


def test_boots_are_counted_across_processes(node: Image, image_file: Path, tmp_path: Path) -> None:
    counts = []
    for _ in range(3):
        process, line = start(node, "--image", image_file, "--boots", tmp_path / "boots")
        hello = line.next()
        assert isinstance(hello, Hello)
        counts.append(hello.boot_count)
        process.kill()
        process.wait()
        line.connection.close()
    assert counts == [1, 2, 3]


def test_standard_input_and_output_are_a_line_too(node: Image, image_file: Path) -> None:
    process = subprocess.Popen(
        [node.path, "--stdio", "--image", image_file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    decoder = FrameDecoder()
    sessions: list[int] = []
    process.stdin.write(
        DELIMITER + encode_message(HelloRequest(1, 1, 256, SCHEMA_HASH), SESSION, 0)
    )
    while SESSION not in sessions:
        items = decoder.feed(process.stdout.read(4096))
        sessions += [item.session for item in items if isinstance(item, Frame)]
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--image", "/nonexistent/image"], "cannot read the data image"),
        (["--connect", "nowhere"], "expected HOST:PORT"),
        (["--frobnicate"], "usage:"),
        (["--image"], "usage:"),
        (["--boots", "/nonexistent/boots"], "cannot write the boot counter"),
        (["--flash", "/nonexistent/flash"], "cannot open the flash"),
    ],
)
def test_wrong_arguments_are_explained(node: Image, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [node.path, *arguments], input=b"", capture_output=True, timeout=10, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr.decode()


def test_a_damaged_boot_counter_is_not_silently_reset(node: Image, tmp_path: Path) -> None:
    boots = tmp_path / "boots"
    boots.write_text("garbage")
    done = subprocess.run(
        [node.path, "--boots", boots], input=b"", capture_output=True, timeout=10, check=False
    )
    assert done.returncode == 2
    assert "not a boot counter" in done.stderr.decode()
    assert boots.read_text() == "garbage"


def test_a_killed_process_finds_its_update_in_the_flash_file(
    node: Image, image_file: Path, tmp_path: Path
) -> None:
    flash = tmp_path / "flash"
    expected = expected_update(Terms(), DEVICE, BASE, TRAIN, HELD_OUT)
    for life in range(3):
        process, line = start(node, "--image", image_file, "--flash", flash)
        hello = line.next()
        assert isinstance(hello, Hello)
        assert hello.round == (life > 0)
        assert hello.store_erases == 2 * (life > 0)
        assert run_round(line, Terms(), BASE) == expected
        process.kill()
        process.wait()
        line.connection.close()
    assert flash.stat().st_blocks * 512 < 100_000, "what was never written takes no room"


def test_a_flash_that_takes_nothing_any_more_is_done_without(
    node: Image, image_file: Path, tmp_path: Path
) -> None:
    flash = tmp_path / "flash"
    with flash.open("wb") as file:
        file.truncate(32 << 20)
    process, line = start(
        node, "--image", image_file, "--flash", flash,
        restore_signals=False,  # SIGXFSZ stays ignored: writes fail instead
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip
    hello = line.next()
    assert isinstance(hello, Hello)
    assert hello.store_bytes > 0
    for number in (1, 2):
        terms = Terms(number=number)
        assert run_round(line, terms, BASE) == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)
    line.send(HelloRequest(1, 1, 256, SCHEMA_HASH))
    while not isinstance(hello := line.next(), Hello):
        pass
    assert hello.store_bytes == 0, "it says so"
    assert hello.update_crc != 0, "and keeps the update in RAM"
    line.connection.close()
    assert process.wait(10) == 0


def test_a_file_of_another_size_is_no_flash(node: Image, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    flash.write_bytes(b"something else")
    done = subprocess.run(
        [node.path, "--flash", flash], input=b"", capture_output=True, timeout=10, check=False
    )
    assert done.returncode == 2
    assert "not a flash" in done.stderr.decode()
    assert flash.read_bytes() == b"something else"


def test_nobody_listening_is_a_failure_with_a_name(node: Image) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = subprocess.run(
        [node.path, "--connect", f"127.0.0.1:{port}"], capture_output=True, timeout=10, check=False
    )
    assert done.returncode == 1
    assert b"cannot connect" in done.stderr
