# SPDX-License-Identifier: Apache-2.0
"""The round engine: (state, event, now) -> (state, actions). No I/O, no clock, no randomness.

gathering --all answered, or out of patience--> measuring, if due --> round 1 .. n --> evaluation
                                                                      |    closing        |
               failed (resumable) <--too few updates, retries used up-+                   finished

The engine keeps no updates: it says `Record`, and when a round has all that it waits for,
`Aggregate`. Whoever folded the recorded updates answers with the event `Aggregated`.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from fleetgrad.device import (
    Arrived,
    DeviceEvent,
    Joined,
    Lost,
    Rebooted,
    Refused,
    Spoiled,
    Summed,
    Unable,
)
from fleetgrad.errors import FleetError, RoundError
from fleetgrad.federation import measuring, sums
from fleetgrad.federation.actions import (
    Action,
    Aggregate,
    Aggregated,
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
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.ranges import MEASURED_SAMPLES, RangeReport, grow
from fleetgrad.federation.state import Plan, Round, Stage, State
from fleetgrad.results import Dropped
from fleetgrad.wire.messages import RoundOpen, Verdict, Work

Step: TypeAlias = tuple[State, list[Action]]
Event: TypeAlias = DeviceEvent | Aggregated


def start(state: State, now: float) -> State:
    """The state in which the fleet is awaited from ``now`` on."""
    return replace(state, gather_until=now + state.plan.timeout_s)


def step(state: State, event: Event | None, now: float) -> Step:
    """Takes one event; None lets time pass.

    Args:
        state: Where the run stands.
        event: What a device session reported, or what a round has made.
        now: Seconds, of the clock that deadlines are in.

    Returns:
        The next state, and what to do about it, in order.
    """
    actions: list[Action] = []
    if state.stage in (Stage.FINISHED, Stage.FAILED):
        return state, actions
    if isinstance(event, Aggregated):
        state, actions = _aggregated(state, event, now)
    elif isinstance(event, Summed):
        state, actions = sums.take(state, event)
    elif event is not None and event.device in state.plan.members:
        state, actions = _take(state, event)
    moved = True
    while moved:  # closing one round opens the next, which may close at once
        before = state
        state, more = _advance(state, now)
        actions += more
        moved = state is not before
    return state, actions


def _take(state: State, event: DeviceEvent) -> Step:
    """What an event alone changes."""
    match event:
        case Joined():
            return _joined(state, event)
        case Arrived():
            return _arrived(state, event)
        case Spoiled():
            receipt = SendReceipt(event.device, event.round, Verdict.REFUSED)
            digest = hashlib.sha256(event.blob).hexdigest()
            note = Note("malformed", event.reason, event.device, event.round, digest)
            state, actions = _out(state, event.device, note)
            return state, [*actions, receipt]
        case Unable():
            note = Note("refused", event.reason, event.device, event.round)
            return _out(state, event.device, note)
        case Lost():
            state = replace(
                state,
                present=state.present - {event.device},
                lost={**state.lost, event.device: event.reason},
            )
            return _out(state, event.device, Note("lost", event.reason, event.device))
        case Refused():
            return _bar(state, event.device, "refused", event.reason)
        case Rebooted():
            number = state.round.number if state.round else None
            text = f"it started again (boot {event.boots})"
            return state, [Note("reboot", text, event.device, number)]
        case _:
            return state, []


def _joined(state: State, event: Joined) -> Step:
    device = event.device
    if device in state.barred:
        return state, []
    if event.train_samples == 0:
        return _bar(state, device, "empty", "it holds no samples")
    if state.round and device in state.lost:  # it is back: its update is awaited again
        state = replace(state, round=replace(state.round, out=_without(state.round.out, device)))
    state = replace(state, present=state.present | {device}, lost=_without(state.lost, device))
    return state, _settle(state, event)


def _settle(state: State, event: Joined) -> list[Action]:
    """What becomes of the update that a device has kept."""
    device, held, version = event.device, event.holds_round, event.holds_version
    wanted = state.round.number if state.round else state.next_round
    if not held or (held == wanted and version == state.model.tag):
        if held and state.round and device in state.round.accepted:
            # We were stopped between commit and receipt.
            return [SendReceipt(device, held, Verdict.ACCEPTED)]
        return []  # it will be asked for
    text = f"it keeps an update of round {held}, made from version {version:08x}"
    note = Note("kept", f"{text}, which nobody waits for", device, held)
    if held == wanted and not (state.round and device in state.round.accepted):
        return [note]  # the terms of the round itself replace it
    return [note, SendReceipt(device, held, Verdict.STALE)]


def _arrived(state: State, event: Arrived) -> Step:
    current = state.round
    device, number = event.device, event.round
    digest = hashlib.sha256(event.update.blob).hexdigest()
    if (
        not current
        or current.number != number
        or device not in current.members
        or (state.stage is Stage.CLOSING and device not in current.accepted)
    ):
        text = f"it sent an update of round {number}, which is not open for it"
        return state, [
            Note("stale", text, device, number, digest),
            SendReceipt(device, number, Verdict.STALE),
        ]
    if device in current.accepted:
        text = "it sent its update again; it counts once"
        return state, [
            Note("duplicate", text, device, number, digest),
            SendReceipt(device, number, Verdict.DUPLICATE),
        ]
    passes = state.stage is Stage.MEASURING
    training = not passes and number <= state.plan.rounds
    if training and (reason := state.plan.strategy.refusal(event.update, state.model.layout)):
        state, actions = _out(state, device, Note("unfit", reason, device, number, digest))
        return state, [*actions, SendReceipt(device, number, Verdict.REFUSED)]
    facts = Facts.of(event.update)
    current = replace(
        current,
        accepted={**current.accepted, device: facts},
        report=current.report.add(event.update),
        out=_without(current.out, device),
    )
    record = [] if passes else [Record(number, device, event.update, facts)]
    receipt = SendReceipt(device, number, Verdict.ACCEPTED)
    return replace(state, round=current), [*record, receipt]


def _out(state: State, device: int, note: Note) -> Step:
    """Counts a device out of the open round, if it is still awaited there."""
    current = state.round
    if (
        not current
        or device not in current.members
        or device in current.accepted
        or note.round not in (None, current.number)
    ):
        return state, [note]
    current = replace(current, out={**current.out, device: note.text})
    number = None if state.stage is Stage.MEASURING else current.number
    return replace(state, round=current), [replace(note, round=number)]


def _bar(state: State, device: int, kind: str, reason: str) -> Step:
    """Counts a device out of the whole run."""
    state = replace(
        state, present=state.present - {device}, barred={**state.barred, device: reason}
    )
    state, actions = _out(state, device, Note(kind, reason, device))
    return state, [*actions, Bar(device, reason)]


def _advance(state: State, now: float) -> Step:
    """Moves on when everything for it is there; returns the very same state when not."""
    if state.stage is Stage.GATHERING:
        return _gather(state, now)
    current = state.round
    if state.stage not in (Stage.ROUND, Stage.MEASURING) or current is None:
        return state, []
    if len(current.assigned) < len(current.selected):
        waiting = [d for d in current.pending if d in state.present and d not in current.assigned]
        if waiting:
            return _assign(state, current, waiting)
    if current.is_pending and now < current.deadline:
        return state, []
    if state.stage is Stage.MEASURING:
        state, actions = measuring.conclude(state, now)
        if state.stage is Stage.MEASURING:
            return state, actions
        state, more = _open(state, now)
        return state, actions + more
    if current.number > state.plan.rounds:
        return _close(state, current, now, None)
    if len(current.accepted) < state.plan.needed:
        return _too_few(state, current, now)
    return replace(state, stage=Stage.CLOSING), [Aggregate(current.number, state.model)]


def _aggregated(state: State, event: Aggregated, now: float) -> Step:
    """The version that was asked for is there."""
    current = state.round
    if state.stage is not Stage.CLOSING or current is None or current.number != event.round:
        return state, []
    return _close(state, current, now, event)


def _gather(state: State, now: float) -> Step:
    told = len(state.present) + len(state.lost) + len(state.barred)
    if told < len(state.plan.roster) and now < state.gather_until:
        return state, []
    silent = [
        d
        for d in state.plan.roster
        if d not in state.present and d not in state.lost and d not in state.barred
    ]
    if silent and now < state.gather_until:
        return state, []
    able = len(state.plan.roster) - len(state.barred)
    if not state.present or able < state.plan.needed:
        return _fail(state, _no_fleet(state, able))
    actions: list[Action] = [Note("lost", "it has not appeared yet", d, None) for d in silent]
    if state.round:  # an interrupted run had it open
        reopened = replace(state.round, deadline=now + state.plan.timeout_s)
        return replace(state, stage=Stage.ROUND, round=reopened), actions
    if measuring.is_due(state):
        return measuring.begin(state, now), actions
    state, more = _open(state, now)
    return state, actions + more


def _open(state: State, now: float) -> Step:
    number = state.next_round
    plan = state.plan
    evaluation = number > plan.rounds
    able = [d for d in (plan.evaluators if evaluation else plan.roster) if d not in state.barred]
    selected = tuple(sorted(able)) if evaluation else measuring.cohort(state, able, number)
    current = Round(
        number,
        selected,
        RangeReport.empty(state.model.layout.shape),
        deadline=now + plan.timeout_s,
        out={d: reason for d, reason in state.lost.items() if d in selected},
    )
    opened = OpenRound(number, evaluation, selected, attempt=0)
    return replace(state, stage=Stage.ROUND, round=current), [opened]


def _assign(state: State, current: Round, devices: list[int]) -> Step:
    vector = state.model.vector()
    work = Work.EVALUATE if current.number > state.plan.rounds else Work.EVALUATE | Work.TRAIN
    if state.stage is Stage.MEASURING:
        work = Work.MEASURE
    terms = round_terms(state.plan, state.model, current.number, vector, work)
    actions: list[Action] = [Assign(device, terms, vector) for device in devices]
    current = replace(current, assigned=current.assigned | frozenset(devices))
    return replace(state, round=current), actions


def round_terms(
    plan: Plan, model: GlobalModel, number: int, vector: bytes, work: Work
) -> RoundOpen:
    """What devices are told of a round.

    Args:
        plan: The run.
        model: The version that the round starts from.
        number: Of the round.
        vector: That version's parameters.
        work: What to do.
    """
    mantissa, exponent = plan.rate(number)
    return RoundOpen(
        round=number,
        model_digest=plan.model_digest,
        version_tag=model.tag,
        blob_bytes=len(vector),
        blob_crc=zlib.crc32(vector),
        seed=plan.seed,
        lr_mantissa=mantissa,
        lr_exponent=exponent,
        epochs=plan.epochs,
        batch=plan.batch,
        max_steps=MEASURED_SAMPLES if work is Work.MEASURE else plan.max_steps,
        work=int(work),
    )


def _close(state: State, current: Round, now: float, made: Aggregated | None) -> Step:
    """Ends a round; a training round has made a version."""
    late = current.pending
    reasons = {**current.out, **{d: _late_reason(state, d) for d in late}}
    dropped = tuple(Dropped(d, reasons[d]) for d in current.selected if d in reasons)
    model, memory = (made.model, made.memory) if made else (None, b"")
    actions: list[Action] = [Note("dropped", reasons[d], d, current.number) for d in late]
    if made:
        policy = state.plan.ranges
        if policy.drift:
            model = grow(made.model, current.report, policy.tolerance)
        after = model or made.model
        actions += measuring.growth_notes(policy, made.model, after, current.report, current.number)
    actions.append(
        CloseRound(current.number, model, current.accepted, current.report, dropped, memory)
    )
    actions += [Dismiss(d.device, current.number) for d in dropped]
    state = replace(state, model=model or state.model, next_round=current.number + 1, round=None)
    if state.plan.selection.reads_losses:
        heard = {device: facts.train_loss for device, facts in current.accepted.items()}
        state = replace(state, losses={**state.losses, **heard})
    if made is None:
        return replace(state, stage=Stage.FINISHED), [*actions, Finish()]
    state, more = _open(state, now)
    return state, actions + more


def _too_few(state: State, current: Round, now: float) -> Step:
    have, need = len(current.accepted), state.plan.needed
    reasons = {**current.out, **{d: _late_reason(state, d) for d in current.pending}}
    told = _some([f"device {d}: {reason}" for d, reason in sorted(reasons.items())])
    what = f"round {current.number} has {have} of the {need} updates it needs"
    if current.attempt >= state.plan.retries:
        error = RoundError(
            what,
            where=told,
            expected=f"rounds.min_updates = {state.plan.min_updates}" + _strategys_part(state.plan),
            hint="run it again: the updates at hand are kept; or raise rounds.timeout_s",
        )
        return _fail(state, error, current.number)
    again = replace(
        current,
        attempt=current.attempt + 1,
        deadline=now + state.plan.timeout_s,
        out={d: reason for d, reason in current.out.items() if d in state.barred},
        assigned=frozenset(),
    )
    missing = [d for d in again.pending if d not in state.present]
    state = replace(state, round=again)
    # Those that do not answer are asked once more as well; the others follow in _advance().
    state, actions = _assign(state, again, missing) if missing else (state, [])
    note = Note("repeated", f"{what}; it is repeated ({told})", None, current.number)
    opened = OpenRound(
        again.number, evaluation_only=False, selected=again.selected, attempt=again.attempt
    )
    return state, [note, opened, *actions]


def _fail(state: State, error: FleetError | RoundError, number: int | None = None) -> Step:
    note = Note("failed", error.what, None, number)
    return replace(state, stage=Stage.FAILED), [note, Fail(error)]


def _some(told: Sequence[str]) -> str:
    """As many as a reader takes in; the ledger has a line for each of the others."""
    return "; ".join(told[:8]) + ("; ..." if len(told) > 8 else "")


def _no_fleet(state: State, able: int) -> FleetError:
    reasons = {**state.lost, **state.barred}
    told = [f"device {d}: {reasons.get(d, 'it never answered')}" for d in state.plan.roster]
    shown = _some(sorted(set(told)))
    count = len(state.plan.roster)
    what = "no device answers"
    if able < state.plan.needed:
        what = (
            f"only {able} of {count} devices can take part" if able else "no device can take part"
        )
    return FleetError(
        what,
        where=shown,
        expected=f"at least {state.plan.needed} of {count} devices",
        hint="fleetgrad log shows what each device said",
    )


def _strategys_part(plan: Plan) -> str:
    least = plan.strategy.least
    return f"; {plan.strategy.name} needs {least}" if least > plan.min_updates else ""


def _late_reason(state: State, device: int) -> str:
    return "no update before the deadline" if device in state.present else "it never answered"


def _without(mapping: Mapping[int, str], device: int) -> Mapping[int, str]:
    return {d: reason for d, reason in mapping.items() if d != device}
