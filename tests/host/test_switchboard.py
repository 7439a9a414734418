# SPDX-License-Identifier: Apache-2.0
"""Links that share one descriptor: nothing is mixed up, bounded, and held up only while it must."""

from __future__ import annotations

import select
import threading

import pytest

from fleetgrad.errors import LinkClosed
from fleetgrad.link import Switchboard


class Office:
    """Takes what links were given, as far as there is space."""

    def __init__(self, space: int = 100) -> None:
        self.space = space
        self.taken: list[tuple[int, bytes]] = []

    def carry(self, given: list[tuple[int, bytes]]) -> None:
        self.taken += given


def rings(board: Switchboard) -> bool:
    return bool(select.select([board], [], [], 0)[0])


def test_bytes_reach_the_link_they_are_for() -> None:
    board = Switchboard(Office().carry, lambda: 100, 1000)
    one, two = board.link(1), board.link(2)
    assert not rings(board)
    for key, data in ((1, b"a"), (2, b"x"), (1, b"b"), (3, b"nobody's")):
        board.deliver(key, data)
    assert rings(board)
    assert board.ready() == [1, 2]
    assert not rings(board)
    assert board.ready() == []
    assert (one.read(), two.read(), one.read()) == (b"ab", b"x", b"")


def test_what_nobody_reads_is_bounded() -> None:
    board = Switchboard(Office().carry, lambda: 100, 10)
    link = board.link(1)
    for _ in range(100):
        board.deliver(1, b"1234")
    assert link.read() == b"12341234"
    board.deliver(1, b"5678")
    assert link.read() == b"5678"


def test_what_is_given_leaves_in_order_and_waits_for_space() -> None:
    office = Office(space=2)
    board = Switchboard(office.carry, lambda: office.space, 1000)
    links = [board.link(key) for key in range(3)]
    assert [link.write(b"m") for link in links] == [1, 1, 0]
    assert board.holding
    board.flush()
    assert office.taken == [(0, b"m"), (1, b"m")]
    office.space = 0
    assert board.ready() == []
    office.space = 1
    board.ring()
    assert rings(board)
    assert board.ready() == [2]
    assert not board.holding


def test_closed_switchboard_closes_its_links() -> None:
    board = Switchboard(Office().carry, lambda: 100, 1000)
    link = board.link(1)
    board.close()
    board.deliver(1, b"late")
    with pytest.raises(LinkClosed):
        link.read()
    with pytest.raises(LinkClosed):
        link.write(b"x")


def test_delivering_and_reading_in_two_threads_loses_nothing() -> None:
    board = Switchboard(Office().carry, lambda: 100, 1 << 20)
    links = {key: board.link(key) for key in range(4)}
    sent = {key: bytes(range(1, 200)) * 20 for key in links}

    def deliver() -> None:
        for at in range(0, len(sent[0]), 7):
            for key, data in sent.items():
                board.deliver(key, data[at : at + 7])

    writer = threading.Thread(target=deliver)
    writer.start()
    heard = dict.fromkeys(links, b"")
    while heard != sent:
        assert select.select([board], [], [], 20)[0], "bytes are there, and nobody is told"
        for key in board.ready():
            heard[key] += links[key].read()
    writer.join()
