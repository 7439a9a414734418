# SPDX-License-Identifier: Apache-2.0
"""The device store: at every instant of power loss the record is the old one or the new one."""

from __future__ import annotations

import ctypes
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.flash import (
    FG_ERR_ARGUMENT,
    FG_ERR_CRC,
    FG_ERR_SIZE,
    FG_ERR_STATE,
    FG_OK,
    PIECE,
    Device,
    Flash,
    build,
)

OLD, NEW = (1, bytes(range(60))), (2, b"the newer record, of another length")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16, 32])
def test_records_are_kept_over_restarts(library: ctypes.CDLL, unit: int) -> None:
    flash = Flash(unit=unit, sector_bytes=128)
    assert Device(library, flash).kept() is None
    for number in range(1, 8):
        data = bytes((number * i) & 255 for i in range(number * 25))
        assert Device(library, flash).keep(number, data) == FG_OK
        device = Device(library, flash)
        assert device.kept() == (number, data)
        assert device.store.record.sequence == number
        assert device.read(3, 4) == (FG_OK, data[3:7])


KINDS = pytest.mark.parametrize(
    ("unit", "corrects"), [(1, False), (8, False), (8, True), (32, False), (32, True)]
)


@KINDS
def test_power_loss_at_every_program_and_erasure(
    library: ctypes.CDLL, unit: int, corrects: bool
) -> None:
    torn = 0
    for seed in range(3):
        for step in itertools.count(1):
            flash = Flash(unit=unit, corrects=corrects, seed=seed)
            assert Device(library, flash).keep(*OLD) == FG_OK
            flash.power_on(step)
            status = Device(library, flash).keep(*NEW)
            if flash.powered:
                assert status == FG_OK
                break
            torn += 1
            flash.power_on()
            device = Device(library, flash)
            assert device.opened == FG_OK
            assert device.kept() in (OLD, NEW), f"seed {seed}, step {step}"
            assert device.keep(3, b"after") == FG_OK
            assert Device(library, flash).kept() == (3, b"after")
    # two erasures, header, and all units of the record, for every seed
    assert torn >= 3 * (2 + 32 // unit + len(NEW[1]) // unit)


@KINDS
def test_power_loss_in_the_repair_of_a_power_loss(
    library: ctypes.CDLL, unit: int, corrects: bool
) -> None:
    for first, second in itertools.product(range(1, 60, 3), range(1, 60, 3)):
        flash = Flash(unit=unit, corrects=corrects, seed=first)
        assert Device(library, flash).keep(*OLD) == FG_OK
        for step, record in ((first, NEW), (second, (3, b"third"))):
            flash.power_on(step)
            before = Device(library, flash).kept()
            Device(library, flash).keep(*record)
            flash.power_on()
            assert Device(library, flash).kept() in (before, record), f"{first}, {second}"


@KINDS
def test_spending_that_is_torn_leaves_the_record_or_nothing(
    library: ctypes.CDLL, unit: int, corrects: bool
) -> None:
    for seed in range(8):
        flash = Flash(unit=unit, corrects=corrects, seed=seed)
        device = Device(library, flash)
        assert device.keep(*OLD) == FG_OK
        flash.power_on(1)
        device.spend()
        flash.power_on()
        device = Device(library, flash)
        assert device.kept() in (OLD, None)
        assert device.keep(*NEW) == FG_OK
        assert Device(library, flash).kept() == NEW


def test_spent_record_stays_spent_and_costs_no_erasure(library: ctypes.CDLL) -> None:
    flash = Flash()
    device = Device(library, flash)
    device.keep(*OLD)
    erasures = sum(flash.erasures)
    assert device.spend() == FG_OK
    assert device.spend() == FG_OK
    assert sum(flash.erasures) == erasures
    assert device.read(0, 1)[0] == FG_ERR_STATE
    again = Device(library, flash)
    assert again.kept() is None
    assert again.keep(*NEW) == FG_OK
    assert Device(library, flash).kept() == NEW


def test_wear_is_counted_and_shared_between_the_slots(library: ctypes.CDLL) -> None:
    flash = Flash(sectors=4)
    for number in range(40):
        assert Device(library, flash).keep(number, b"x" * number) == FG_OK
    assert flash.erasures[::2] == [20, 20]
    assert max(flash.erasures[1::2]) < 20, "sectors that no record reaches are not erased"
    assert Device(library, flash).store.record.erases == 40


def piece(number: int) -> bytes:
    return bytes((7 * number + i) & 255 for i in range(PIECE))


@KINDS
def test_journal_survives_power_loss_at_every_program_and_erasure(
    library: ctypes.CDLL, unit: int, corrects: bool
) -> None:
    """Whole pieces come back in order, none from an earlier journal; and it can go on."""
    for seed in range(1):
        for step in itertools.count(1):
            flash = Flash(unit=unit, corrects=corrects, seed=seed, sectors=8, sector_bytes=128)
            device = Device(library, flash)
            assert device.keep(*OLD) == FG_OK
            _, journal = device.begin_journal()
            assert [device.add(journal, piece(100 + i)) for i in range(8)] == [FG_OK] * 8
            _, journal = device.begin_journal()
            flash.power_on(step)
            added = 0
            while added < 5 and device.add(journal, piece(added)) == FG_OK:
                added += 1
            if flash.powered:
                break
            flash.power_on()
            device = Device(library, flash)
            assert device.kept() == OLD
            journal, found = device.journal()
            added += len(found) == added + 1  # all of it was there when power failed
            fresh = [piece(i) for i in range(added)]
            # nothing of the new one may be there yet: then the old one is, or what is left of it
            assert found == fresh or (added == 0 and found == [piece(100 + i) for i in range(8)])
            if found != fresh:
                continue
            room = 0
            while device.add(journal, piece(added)) == FG_OK:
                added += 1
                room += 1
            assert room >= 8 - 1 - len(fresh), "one torn piece costs no more than its place"
            assert Device(library, flash).journal()[1] == [piece(i) for i in range(added)]
            assert device.keep(*NEW) == FG_OK
            again = Device(library, flash)
            assert again.kept() == NEW
            assert again.journal()[1] == []
        assert step > 5


def test_journal_wants_sectors_of_whole_pieces_and_counts_its_erasure(
    library: ctypes.CDLL,
) -> None:
    assert Device(library, Flash(sector_bytes=96)).begin_journal()[0] == FG_ERR_SIZE
    assert Device(library, Flash(sector_bytes=96)).journal()[1] == []
    device = Device(library, Flash())
    status, journal = device.begin_journal()
    assert (status, device.store.record.erases) == (FG_OK, 1)
    assert [device.add(journal, piece(i)) for i in range(3)] == [FG_OK, FG_OK, FG_ERR_SIZE]
    assert device.journal()[1] == [piece(0), piece(1)]


def test_sequence_wraps(library: ctypes.CDLL) -> None:
    flash = Flash()
    device = Device(library, flash)
    device.store.record.sequence = 0xFFFFFFFE
    for number in range(4):
        assert device.keep(number, bytes([number])) == FG_OK
        device = Device(library, flash)
        assert device.kept() == (number, bytes([number]))
    assert device.store.record.sequence == 2


def test_cells_that_do_not_take_what_is_written_are_noticed(library: ctypes.CDLL) -> None:
    flash = Flash(unit=1)
    device = Device(library, flash)
    assert device.keep(*OLD) == FG_OK
    assert device.begin(2, 4) == FG_OK
    start = (1 - device.store.slot) * 2 * flash.sector_bytes
    flash.cells[start + 33] = 0  # a dead cell: the first byte of the record
    assert device.append(b"\xff\xff\xff\xff") == FG_OK
    assert device.commit() == FG_ERR_CRC
    assert device.kept() == OLD
    assert Device(library, flash).kept() == OLD


@pytest.mark.parametrize("offset", [0, 4, 16, 20, 28, 40, 99])
def test_record_that_rots_gives_way_to_the_one_before(library: ctypes.CDLL, offset: int) -> None:
    flash = Flash(unit=8)
    device = Device(library, flash)
    assert device.keep(*NEW) == FG_OK
    assert device.keep(*OLD) == FG_OK
    flash.cells[device.store.slot * 2 * flash.sector_bytes + offset] ^= 0x10
    assert Device(library, flash).kept() == NEW


def test_wrong_use_is_refused(library: ctypes.CDLL) -> None:
    for bad in (
        Flash(unit=3, sector_bytes=66),
        Flash(unit=64),
        Flash(sectors=3),
        Flash(sectors=2, sector_bytes=32),
        Flash(unit=16, sector_bytes=72),
    ):
        assert Device(library, bad).opened == FG_ERR_ARGUMENT
    device = Device(library, Flash())
    assert device.append(b"x") == FG_ERR_STATE
    assert device.commit() == FG_ERR_STATE
    assert device.begin(1, device.capacity + 1) == FG_ERR_SIZE
    assert device.begin(1, 4) == FG_OK
    assert device.append(b"12345") == FG_ERR_SIZE
    assert device.append(b"123") == FG_OK
    assert device.commit() == FG_ERR_STATE
    assert device.append(b"4") == FG_OK
    assert device.commit() == FG_OK
    assert device.read(2, 3)[0] == FG_ERR_SIZE
    assert device.keep(2, b"y" * device.capacity) == FG_OK


@settings(deadline=None, max_examples=60)
@given(
    unit=st.sampled_from([1, 4, 8, 32]),
    corrects=st.booleans(),
    lives=st.lists(
        st.tuples(
            st.lists(st.binary(max_size=60) | st.none(), max_size=4),  # None: spend
            st.integers(1, 80),
        ),
        max_size=6,
    ),
)
def test_any_life_of_a_device(
    library: ctypes.CDLL, unit: int, corrects: bool, lives: list[tuple[list[bytes | None], int]]
) -> None:
    """Whatever is written and whenever power fails, the record is one of the last two states."""
    flash = Flash(unit=unit, corrects=corrects)
    possible: set[tuple[int, bytes] | None] = {None}
    tag = 0
    for actions, step in lives:
        flash.power_on(step)
        device = Device(library, flash)
        for data in actions:
            tag += 1
            wanted = None if data is None else (tag, data)
            before = device.kept() if flash.powered else None
            status = device.spend() if data is None else device.keep(tag, data)
            if not flash.powered:
                possible = {before, wanted}
                break
            assert status == FG_OK
            possible = {wanted}
        flash.power_on()
        found = Device(library, flash).kept()
        assert found in possible
        possible = {found}
