# SPDX-License-Identifier: Apache-2.0
"""Links move bytes, never block, and say when the other end is gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from fleetgrad.errors import LinkClosed, LinkError
from fleetgrad.link import Link, Listener, connect, socket_pair


def tcp_pair() -> tuple[Link, Link]:
    listener = Listener()
    host, _, port = listener.address.rpartition(":")
    far = connect(host, int(port))
    near = None
    while near is None:
        near = listener.accept()
    listener.close()
    return near, far


PAIRS = pytest.mark.parametrize("pair", [lambda: socket_pair("test"), tcp_pair])


def read_all(link: Link, count: int) -> bytes:
    data, deadline = b"", time.monotonic() + 5
    while len(data) < count and time.monotonic() < deadline:
        data += link.read()
    return data


@PAIRS
def test_bytes_arrive_in_order(pair: Callable[[], tuple[Link, Link]]) -> None:
    near, far = pair()
    assert near.write(b"one") == 3
    assert near.write(b"two") == 3
    assert read_all(far, 6) == b"onetwo"
    near.close()
    far.close()


@PAIRS
def test_nothing_to_read_is_empty_and_a_full_link_takes_nothing(
    pair: Callable[[], tuple[Link, Link]],
) -> None:
    near, far = pair()
    assert far.read() == b""
    sent = 0
    while (count := near.write(bytes(65536))) > 0:
        sent += count
    assert len(read_all(far, sent)) == sent
    near.close()
    far.close()


@PAIRS
def test_end_of_the_other_side_is_named(pair: Callable[[], tuple[Link, Link]]) -> None:
    near, far = pair()
    near.write(b"last words")
    near.close()
    assert read_all(far, 10) == b"last words"
    with pytest.raises(LinkClosed, match="closed at the other end"):
        read_all(far, 1)
    far.close()
    far.close()


def test_nobody_there_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(LinkError, match=rf"cannot connect(?s:.)*127\.0\.0\.1:{port}"):
        connect("127.0.0.1", port, 1.0)
