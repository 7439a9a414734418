# SPDX-License-Identifier: Apache-2.0
"""What the round engine decides, event by event."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleetgrad.device import Arrived, Joined, Lost, Rebooted, Refused, Spoiled, Unable, Update
from fleetgrad.errors import FleetError, RoundError
from fleetgrad.federation.actions import (
    Action,
    Assign,
    Bar,
    CloseRound,
    Dismiss,
    Fail,
    Finish,
    Note,
    OpenRound,
    Record,
    SendReceipt,
)
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import start, step
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import Layout, from_vector
from fleetgrad.federation.ranges import RangeReport
from fleetgrad.federation.state import Plan, Round, Stage, State
from fleetgrad.wire.messages import Verdict, Work
from support.federation import DIGEST, SEGMENTS

PLAN = Plan(
    roster=(1, 2, 3),
    evaluators=(1, 2, 3),
    model_digest=DIGEST[:8],
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
)
MODEL = from_vector(Layout(DIGEST, SEGMENTS), struct.pack("<3i24h", *range(27)))


def joined(device: int, **changes: Any) -> Joined:
    return Joined(
        device, **{"train_samples": 5, "eval_samples": 2, "holds_round": 0, "boots": 1, **changes}
    )


def update(number: int = 1, samples: int = 5) -> Update:
    deltas = np.ones(27, np.int8)
    return Update(number, MODEL.tag, samples, 2, 1, 10, 10, (0, 0), deltas, b"blob")


class Run:
    """The engine with everything it wanted done."""

    def __init__(self, **changes: Any) -> None:
        self.state = start(State(replace(PLAN, **changes), MODEL), 0.0)
        self.aggregator = Aggregator(self.state.plan.strategy, MODEL.layout)
        self.actions: list[Action] = []
        self.now = 0.0

    def take(self, *events: Any, now: float | None = None) -> list[Action]:
        self.now = self.now if now is None else now
        made: list[Action] = []
        todo = list(events or (None,))
        while todo:
            self.state, actions = step(self.state, todo.pop(0), self.now)
            made += actions
            versions = [self.aggregator.follow(action) for action in actions]
            todo = [*(version for version in versions if version), *todo]
        self.actions += made
        return made

    def gathered(self) -> Run:
        self.take(joined(1), joined(2), joined(3))
        return self


def kinds(actions: list[Action]) -> list[str]:
    return [type(a).__name__ for a in actions]


def test_round_opens_when_the_whole_fleet_is_there() -> None:
    run = Run()
    assert run.take(joined(1), joined(2)) == []
    opened, *assigned = run.take(joined(3))
    assert opened == OpenRound(1, evaluation_only=False, selected=(1, 2, 3), attempt=0)
    assert [a.device for a in assigned if isinstance(a, Assign)] == [1, 2, 3]
    terms = assigned[0].terms  # type: ignore[union-attr]
    assert terms.work == Work.EVALUATE | Work.TRAIN
    assert (terms.round, terms.version_tag, terms.blob_bytes) == (1, MODEL.tag, 60)


def test_fleet_is_not_awaited_for_ever() -> None:
    run = Run()
    run.take(joined(1), joined(2), now=1.0)
    assert run.take(now=9.9) == []
    notes = run.take(now=10.0)
    assert kinds(notes)[:2] == ["Note", "OpenRound"]
    assert run.state.stage is Stage.ROUND


def test_late_device_is_given_the_open_round() -> None:
    run = Run()
    run.take(joined(1), joined(2))
    run.take(now=10.0)
    assert kinds(run.take(joined(3), now=11.0)) == ["Assign"]


def test_empty_fleet_fails_by_name() -> None:
    run = Run()
    run.take(Lost(1, "it never answered for 20 s"), Refused(2, "model", "it runs another"))
    run.take(now=10.0)
    error = run.actions[-1]
    assert isinstance(error, Fail)
    assert isinstance(error.error, FleetError)
    assert "device 2: it runs another" in str(error.error)


def test_fleet_too_small_for_any_round_fails_at_once() -> None:
    run = Run(min_updates=3)
    made = run.take(joined(1), joined(2), Refused(3, "model", "it runs another"))
    error = made[-1]
    assert isinstance(error, Fail)
    assert error.error.what == "only 2 of 3 devices can take part"


def test_device_refused_in_mid_round_is_barred_from_the_run() -> None:
    run = Run().gathered()
    actions = run.take(Refused(3, "model", "it runs another model"))
    assert Bar(3, "it runs another model") in actions
    assert 3 in run.state.barred


def test_only_devices_with_held_out_samples_are_asked_to_evaluate() -> None:
    run = Run(evaluators=(2,)).gathered()
    run.take(*(Arrived(device, 1, update()) for device in (1, 2, 3)))
    assert run.actions[-2] == OpenRound(2, evaluation_only=True, selected=(2,), attempt=0)


def test_run_without_held_out_samples_ends_after_its_last_round() -> None:
    run = Run(evaluators=()).gathered()
    run.take(*(Arrived(device, 1, update()) for device in (1, 2, 3)))
    assert run.state.stage is Stage.FINISHED
    assert isinstance(run.actions[-1], Finish)


def test_device_without_samples_is_left_out_and_named() -> None:
    run = Run()
    actions = run.take(joined(1), joined(2), joined(3, train_samples=0))
    assert Note("empty", "it holds no samples", 3, None) in actions
    opened = next(a for a in actions if isinstance(a, OpenRound))
    assert opened.selected == (1, 2)


def test_round_closes_with_the_last_update_and_makes_a_version() -> None:
    run = Run().gathered()
    for device in (1, 2):
        made = run.take(Arrived(device, 1, update()))
        assert kinds(made) == ["Record", "SendReceipt"]
    made = run.take(Arrived(3, 1, update()))
    assert kinds(made) == [
        *("Record", "SendReceipt", "Aggregate", "CloseRound", "OpenRound"),
        *["Assign"] * 3,
    ]
    closed = made[3]
    assert isinstance(closed, CloseRound)
    assert closed.model is run.state.model
    assert (closed.model.values - MODEL.values == 1 << 16).all()
    assert closed.dropped == ()


def test_evaluation_follows_the_last_round_and_ends_the_run() -> None:
    run = Run().gathered()
    made = run.take(*(Arrived(d, 1, update()) for d in (1, 2, 3)))
    terms = next(a.terms for a in made if isinstance(a, Assign))
    assert terms.work == Work.EVALUATE
    model = run.state.model
    made = run.take(*(Arrived(d, 2, update(2, samples=0)) for d in (1, 2, 3)))
    assert isinstance(made[-1], Finish)
    assert run.state.stage is Stage.FINISHED
    assert run.state.model is model
    assert run.take(joined(1)) == []


def test_deadline_closes_a_round_that_has_enough() -> None:
    run = Run().gathered()
    run.take(Arrived(1, 1, update()), Arrived(2, 1, update()))
    assert run.take(now=9.0) == []
    made = run.take(now=10.0)
    closed = next(a for a in made if isinstance(a, CloseRound))
    assert sorted(closed.accepted) == [1, 2]
    assert [(d.device, d.reason) for d in closed.dropped] == [(3, "no update before the deadline")]
    assert Dismiss(3, 1) in made


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Lost(3, "no answer for 20 s"), "no answer for 20 s"),
        (Unable(3, 1, "a kernel on it reported an error"), "a kernel on it reported an error"),
        (Spoiled(3, 1, "a delta of -128", b"?"), "a delta of -128"),
        (Refused(3, "model", "it runs another model"), "it runs another model"),
    ],
)
def test_round_does_not_wait_for_a_device_that_is_out(event: Any, reason: str) -> None:
    run = Run().gathered()
    run.take(Arrived(1, 1, update()), Arrived(2, 1, update()))
    made = run.take(event)
    closed = next(a for a in made if isinstance(a, CloseRound))
    assert [(d.device, d.reason) for d in closed.dropped] == [(3, reason)]
    assert any(isinstance(a, Note) and a.device == 3 and a.text == reason for a in made)


def test_spoilt_update_is_refused_to_its_device() -> None:
    run = Run().gathered()
    assert SendReceipt(3, 1, Verdict.REFUSED) in run.take(Spoiled(3, 1, "a delta of -128", b"?"))


def test_lost_device_that_comes_back_in_time_counts() -> None:
    run = Run().gathered()
    run.take(Lost(3, "no answer"), joined(3))
    made = run.take(Arrived(3, 1, update()), Arrived(1, 1, update()), Arrived(2, 1, update()))
    closed = next(a for a in made if isinstance(a, CloseRound))
    assert sorted(closed.accepted) == [1, 2, 3]


def test_too_few_updates_repeat_the_round_and_keep_those_at_hand() -> None:
    run = Run().gathered()
    run.take(Arrived(1, 1, update()))
    made = run.take(now=10.0)
    assert OpenRound(1, evaluation_only=False, selected=(1, 2, 3), attempt=1) in made
    assert [a.device for a in made if isinstance(a, Assign)] == [2, 3]
    note = next(a for a in made if isinstance(a, Note))
    assert note.kind == "repeated"
    assert "round 1 has 1 of the 2 updates" in note.text
    made = run.take(Arrived(2, 1, update()), now=12.0)
    assert kinds(made) == ["Record", "SendReceipt"]
    made = run.take(now=20.0)
    assert sorted(next(a for a in made if isinstance(a, CloseRound)).accepted) == [1, 2]


def test_too_few_updates_in_the_last_attempt_fail_the_run_by_name() -> None:
    run = Run(retries=0).gathered()
    run.take(Arrived(1, 1, update()), Lost(2, "no answer for 20 s"))
    made = run.take(now=10.0)
    error = made[-1]
    assert isinstance(error, Fail)
    assert isinstance(error.error, RoundError)
    assert "round 1 has 1 of the 2 updates" in error.error.what
    assert "device 2: no answer for 20 s" in error.error.where
    assert "device 3: no update before the deadline" in error.error.where


def test_failure_of_a_large_fleet_names_some_of_its_devices() -> None:
    roster = tuple(range(1, 501))
    run = Run(roster=roster, evaluators=roster, min_updates=500, retries=0)
    run.take(*(joined(device) for device in roster))
    error = run.take(now=10.0)[-1]
    assert isinstance(error, Fail)
    assert error.error.where.startswith("device 1: no update before the deadline; device 2: ")
    assert error.error.where.endswith("; ...")
    assert len(error.error.where) < 500


def test_repeated_update_is_a_duplicate_and_recorded_once() -> None:
    run = Run().gathered()
    run.take(Arrived(1, 1, update()))
    note, receipt = run.take(Arrived(1, 1, update()))
    assert isinstance(note, Note)
    assert note.kind == "duplicate"
    assert note.digest == hashlib.sha256(update().blob).hexdigest()
    assert receipt == SendReceipt(1, 1, Verdict.DUPLICATE)


@pytest.mark.parametrize("number", [2, 7])
def test_update_of_another_round_is_stale_and_recorded_never(number: int) -> None:
    run = Run().gathered()
    made = run.take(Arrived(1, number, update(number)))
    assert kinds(made) == ["Note", "SendReceipt"]
    assert made[1] == SendReceipt(1, number, Verdict.STALE)


def test_device_that_holds_a_recorded_update_gets_its_receipt_again() -> None:
    report = RangeReport.empty(MODEL.layout.shape).add(update())
    resumed = Round(1, (1, 2, 3), report, accepted={1: Facts.of(update())})
    run = Run()
    run.state = start(replace(run.state, round=resumed), 0.0)
    made = run.take(joined(1, holds_round=1, holds_version=run.state.model.tag))
    assert made == [SendReceipt(1, 1, Verdict.ACCEPTED)]
    made = run.take(joined(2), joined(3))
    assert [a.device for a in made if isinstance(a, Assign)] == [2, 3]
    assert not any(isinstance(a, OpenRound | Record) for a in made)


def test_device_that_holds_an_update_of_a_closed_round_may_forget_it() -> None:
    run = Run()
    run.state = replace(run.state, next_round=4)
    note, receipt = run.take(joined(1, holds_round=2, holds_version=0xABC))
    assert isinstance(note, Note)
    assert note.kind == "kept"
    assert "round 2, made from version 00000abc" in note.text
    assert receipt == SendReceipt(1, 2, Verdict.STALE)


def test_update_from_another_version_is_told_and_never_mixed() -> None:
    run = Run()
    tag = run.state.model.tag
    (note,) = run.take(joined(1, holds_round=1, holds_version=tag ^ 1))
    assert isinstance(note, Note)
    assert note.kind == "kept"
    run = Run()
    assert run.take(joined(1, holds_round=1, holds_version=tag)) == []
    report = RangeReport.empty(MODEL.layout.shape).add(update())
    resumed = Round(1, (1, 2, 3), report, accepted={1: Facts.of(update())})
    run.state = start(replace(run.state, round=resumed), 0.0)
    made = run.take(joined(1, holds_round=1, holds_version=tag ^ 1))
    assert made[1:] == [SendReceipt(1, 1, Verdict.STALE)]


def test_reboot_is_noted() -> None:
    run = Run().gathered()
    assert run.take(Rebooted(2, 5)) == [Note("reboot", "it started again (boot 5)", 2, 1)]


def test_devices_that_nobody_knows_are_ignored() -> None:
    run = Run().gathered()
    assert run.take(Arrived(99, 1, update())) == []


def test_no_event_leaves_the_state_as_it_is() -> None:
    run = Run().gathered()
    before = run.state
    run.take()
    assert run.state is before
