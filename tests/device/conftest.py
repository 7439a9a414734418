# SPDX-License-Identifier: Apache-2.0
"""The firmware around the fake model, built for this process."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import Image, build_image, find_compiler
from fleetgrad.toolchain.library import Library
from support.fake_model import DEVICE, FAKE_BUNDLE, HELD_OUT, TRAIN, data_image
from support.native_node import NativeNode
from support.node_host import Host

# Set where this very suite runs a second time in a process with the sanitizers' runtime.
SANITIZED = os.environ.get("FLEETGRAD_TEST_SANITIZED") == "1"


@pytest.fixture(scope="session")
def native_board() -> Board:
    board = load_board(paths.boards(), "native")
    try:
        find_compiler("host")
    except ToolError as error:
        pytest.skip(f"no C compiler for this machine: {error.what}")
    return board


@pytest.fixture(scope="session")
def library_image(native_board: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    out = tmp_path_factory.mktemp("library")
    return build_image(FAKE_BUNDLE, native_board, "library", out, sanitize=SANITIZED)


@pytest.fixture(scope="session")
def library(library_image: Image) -> Library:
    return Library(library_image.path)


@pytest.fixture
def image() -> bytes:
    return data_image(TRAIN, HELD_OUT, device=DEVICE)


@pytest.fixture
def boot(library: Library) -> Callable[..., Host]:
    """Starts a device and the host's end of its line; the HELLO of its boot is consumed."""

    def start(image: bytes | None, *, boot_count: int = 1) -> Host:
        host = Host(NativeNode(library, image, boot_count=boot_count, firmware_hash=0xF00D))
        host.settle()
        return host

    return start


@pytest.fixture
def host(boot: Callable[..., Host], image: bytes) -> Host:
    """A greeted device with samples."""
    ready = boot(image)
    ready.greet()
    return ready
