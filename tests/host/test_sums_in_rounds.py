# SPDX-License-Identifier: Apache-2.0
"""What a gateway's sum means for a round: all of it counts, or nothing, and why."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleetgrad.device import (
    Arrived,
    Entry,
    Fate,
    Joined,
    Order,
    Summed,
    SumShape,
    Update,
    write_sum,
)
from fleetgrad.device.sums import read_sum
from fleetgrad.errors import ConfigError, RoundError, WireError
from fleetgrad.federation.actions import (
    Action,
    Assign,
    CloseRound,
    Note,
    Record,
    RecordSum,
    SendReceipt,
)
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import start, step
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel, Layout
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.ranges import RangePolicy
from fleetgrad.federation.state import Plan, State
from fleetgrad.federation.strategies import STRATEGIES, FedAvg
from fleetgrad.run.prepare import refuse_sums
from fleetgrad.wire.messages import Verdict, Work

GATEWAY = 77
LAYOUT = Layout(b"d" * 32, (("bias", 2), ("weight", 3)), ranges=1, units=(None, None))
MODEL = GlobalModel(LAYOUT, np.arange(5) << 20, bytes(1))
BOTH = int(Work.EVALUATE | Work.TRAIN)
PLAN = Plan(
    roster=(1, 2, 3),
    evaluators=(1, 2, 3),
    model_digest=b"d" * 8,
    rounds=1,
    min_updates=2,
    fraction=1.0,
    timeout_s=10.0,
    retries=1,
    seed=0,
    lr_mantissa=1 << 14,
    lr_exponent=0,
    epochs=1,
    batch=1,
    max_steps=0,
    ranges=RangePolicy(names=("one",), segments=("bias", "weight")),
)


def update(device: int, number: int = 1) -> Update:
    trained = number == 1
    return Update(
        number, MODEL.tag, 5 * device if trained else 0, 2, 1, 10, 20,
        (device, 1) if trained else (),
        np.full(5 if trained else 0, device, np.int8),
        b"blob%d" % device,
        4 if trained else 0, (100 * device,) if trained else (), (0, device) if trained else (),
    )  # fmt: skip


def entry(device: int, number: int = 1) -> Entry:
    u = update(device, number)
    return Entry(
        device, Fate.COUNTED, u.samples, u.eval_samples, u.eval_correct, u.eval_loss, u.train_loss,
        hashlib.sha256(u.blob).digest(), bytes(u.exponents),
    )  # fmt: skip


def absent(device: int, fate: Fate = Fate.SILENT) -> Entry:
    return Entry(device, fate, exponents=bytes(2))


def total(*devices: int, number: int = 1, extra: int = 0) -> PartialSum:
    made = PartialSum.empty(LAYOUT)
    for device in devices:
        if number == 1:
            made.add(device, update(device), (update(device).samples + extra,))
        else:
            made.count_in(device, update(device, number))
    return made


def summed(
    *devices: int, others: tuple[Entry, ...] = (), number: int = 1, part: PartialSum | None = None
) -> Summed:
    entries = [*(entry(device, number) for device in devices), *others]
    found = total(*devices, number=number) if part is None else part
    blob = write_sum(number, MODEL.tag, entries, found.to_bytes(whole=number == 1))
    boards = tuple(sorted({e.device for e in entries} & {1, 2, 3}))
    return Summed(GATEWAY, number, boards, read_sum(blob, 2 if number == 1 else 0))


class Run:
    """The engine, and everything it wanted done."""

    def __init__(self, **changes: Any) -> None:
        self.state = start(State(replace(PLAN, **changes), MODEL), 0.0)
        self.aggregator = Aggregator(FedAvg(), LAYOUT)
        self.made: list[Action] = []
        self.take(*(Joined(device, 5, 2, 0, 1) for device in (1, 2, 3)))

    def take(self, *events: Any) -> list[Action]:
        made: list[Action] = []
        todo = list(events)
        while todo:
            self.state, actions = step(self.state, todo.pop(0), 0.0)
            made += actions
            answers = [self.aggregator.follow(action) for action in actions]
            todo = [*(answer for answer in answers if answer), *todo]
        self.made += made
        return made


def of(actions: list[Action], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def test_sums_make_the_version_of_a_flat_fleet() -> None:
    flat, tree = Run(), Run()
    (wanted,) = of(flat.take(*(Arrived(d, 1, update(d)) for d in (1, 2, 3))), CloseRound)
    made = tree.take(summed(1, 3), Arrived(2, 1, update(2)))
    (closed,) = of(made, CloseRound)
    assert closed.model.digest == wanted.model.digest
    assert (closed.accepted, closed.report) == (wanted.accepted, wanted.report)
    (record,) = of(made, RecordSum)
    assert record.members == {d: Facts.of(update(d)) for d in (1, 3)}
    assert of(made, SendReceipt)[0] == SendReceipt(GATEWAY, 1, Verdict.ACCEPTED)


def test_boards_that_did_not_answer_are_dropped_with_their_gateways_reason() -> None:
    run = Run()
    made = run.take(summed(1, 2, others=(absent(3, Fate.UNABLE),)))
    (closed,) = of(made, CloseRound)
    assert [(d.device, d.reason) for d in closed.dropped] == [
        (3, "it could not do the round's work")
    ]
    assert any(note.device == 3 for note in of(made, Note))


def test_evaluations_are_counted_without_deltas() -> None:
    run = Run()
    run.take(summed(1, 2, 3))
    model = run.state.model
    made = run.take(summed(1, 2, 3, number=2))
    (record,) = of(made, RecordSum)
    assert [facts.eval_correct for facts in record.members.values()] == [1, 1, 1]
    assert run.state.model is model
    assert of(made, CloseRound)


def test_sum_that_comes_again_counts_once() -> None:
    run = Run()
    run.take(summed(1, 2))
    note, receipt = run.take(summed(1, 2))
    assert (note.kind, receipt.verdict) == ("duplicate", Verdict.DUPLICATE)


def test_sum_of_another_round_is_stale() -> None:
    note, receipt = Run().take(replace(summed(1, 2), round=9))
    assert (note.kind, receipt) == ("stale", SendReceipt(GATEWAY, 9, Verdict.STALE))


def test_sum_with_an_update_that_counts_already_is_asked_for_without_it() -> None:
    run = Run()
    run.take(Arrived(1, 1, update(1)))
    note, receipt, *asked = run.take(summed(1, 2, 3))
    assert (note.kind, receipt.verdict) == ("overlap", Verdict.REFUSED)
    assert "device 0000000000000001, which counts already" in note.text
    assert [a.device for a in asked if isinstance(a, Assign)] == [2, 3]
    (closed,) = of(run.take(summed(2, 3)), CloseRound)
    assert sorted(closed.accepted) == [1, 2, 3]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: summed(1, 2, part=total(1, 2, extra=1)), "other weights than fedavg gives"),
        (lambda: summed(1, 2, part=total(1, 3)), "not of the updates that it names"),
        (lambda: summed(1, 2, part=total(1)), "not of the updates that it names"),
        (lambda: summed(1, 2, 9), "boards that were not asked"),
        (lambda: summed(1, 2, part=PartialSum.empty(LAYOUT, 2)), "not of the updates"),
    ],
)
def test_sum_that_is_not_what_it_says_is_refused(made: Callable[[], Summed], message: str) -> None:
    run = Run(retries=0)
    actions = run.take(made())
    assert not of(actions, RecordSum)
    assert of(actions, SendReceipt)[0].verdict is Verdict.REFUSED
    (note,) = [note for note in of(actions, Note) if note.kind == "malformed"]
    assert message in note.text
    assert {1, 2} <= set(run.state.round.out if run.state.round else ())


def test_sum_larger_than_its_updates_allow_is_refused() -> None:
    part = total(1, 2)
    part.sums[0] = part.bounds[0] + 1
    assert not of(Run(retries=0).take(summed(1, 2, part=part)), RecordSum)


def test_strategies_that_compare_updates_refuse_sums() -> None:
    with pytest.raises(ConfigError, match=r"median compares updates(?s:.)*gateway 0+4d"):
        refuse_sums(STRATEGIES["median"](), GATEWAY)
    refuse_sums(FedAvg(), GATEWAY)
    aggregator = Aggregator(STRATEGIES["median"](), LAYOUT)
    with pytest.raises(RoundError, match="median needs the updates"):
        aggregator.merge(total(1))


def test_messages_survive_the_way() -> None:
    order = Order((3, 9), 1500, b"vector")
    assert Order.unpack(order.pack()) == order
    event = summed(1, 3, others=(absent(2),))
    blob = event.found.blob
    shape = SumShape(LAYOUT.shape, 3, 1)
    assert len(blob) == shape.update_bytes(BOTH)
    assert shape.read(blob, BOTH) == event.found
    assert [e.device for e in event.found.entries] == [1, 2, 3]
    assert len(summed(1, number=2).found.blob) == SumShape(LAYOUT.shape, 1, 1).update_bytes(
        Work.EVALUATE
    )


def sealed(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda b: b[:-1], "of [0-9]+ bytes"),
        (lambda b: b[:9] + bytes([b[9] ^ 1]) + b[10:], "CRC"),
        (lambda b: sealed(b[4:20] + b[73:126] + b[20:73] + b[126:]), "twice, or out of order"),
        (lambda b: sealed(b[4:28] + b"\x63" + b[29:]), "the fate 99"),
        (lambda b: sealed(b[4:12] + b"\7" + b[13:]), "for 7 boards"),
    ],
)
def test_damaged_sums_are_refused_by_name(harm: Callable[[bytes], bytes], message: str) -> None:
    blob = summed(1, 3).found.blob
    with pytest.raises(WireError, match=message):
        SumShape(LAYOUT.shape, 2, 1).read(harm(blob), BOTH)


@pytest.mark.parametrize("data", [b"", b"FGGX" + bytes(20), b"FGGO\2" + bytes(20)])
def test_orders_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="order"):
        Order.unpack(data)


def test_records_of_single_devices_stay_as_they_are() -> None:
    made = Run().take(Arrived(1, 1, update(1)))
    assert [type(a) for a in made] == [Record, SendReceipt]
