# SPDX-License-Identifier: Apache-2.0
"""Before the first round: devices measure what their ranges cut off, until nothing grows any more.

A pass is a round of its own kind: the same devices as in round 1 get the parameters, measure, and
answer; the host doubles scales that clip too much, and asks again. Passes are not in the ledger;
what they lead to, a version, is. An interrupted run measures anew, and finds the same.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from fleetgrad.federation.actions import Action, Dismiss, Note, Widen
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.ranges import (
    MEASUREMENT,
    MOST_PASSES,
    RangePolicy,
    RangeReport,
    grow,
)
from fleetgrad.federation.selections import Candidate, Draw
from fleetgrad.federation.state import Round, Stage, State

_FEW = 100
"""One value in so many may come to its limit in a round without a word."""


def is_due(state: State) -> bool:
    """Whether a run has to measure before it opens its next round."""
    return state.plan.ranges.before and state.next_round == 1 and bool(state.model.exponents)


def cohort(state: State, able: Sequence[int], number: int) -> tuple[int, ...]:
    """The devices of a training round."""
    plan = state.plan
    count = max(plan.needed, math.ceil(plan.fraction * len(able)))
    candidates = [
        Candidate(device, plan.samples.get(device, 1), state.losses.get(device)) for device in able
    ]
    return plan.selection.choose(candidates, count, Draw(plan.seed, number))


def begin(state: State, now: float, number: int = 1) -> State:
    """Opens a pass, counted from 1."""
    able = [d for d in state.plan.roster if d not in state.barred]
    selected = cohort(state, able, 1)
    out = {d: reason for d, reason in state.lost.items() if d in selected}
    opened = Round(
        MEASUREMENT + number,
        selected,
        RangeReport.empty(state.model.layout.shape),
        deadline=now + state.plan.timeout_s,
        out=out,
    )
    return replace(state, stage=Stage.MEASURING, round=opened)


def conclude(state: State, now: float) -> tuple[State, list[Action]]:
    """Ends a pass: begins another one, or leaves the state without an open round."""
    current, policy = state.round, state.plan.ranges
    assert current is not None
    model = grow(state.model, current.report, policy.tolerance)
    actions: list[Action] = [
        Dismiss(d, current.number) for d in current.selected if d not in current.accepted
    ]
    actions += growth_notes(policy, state.model, model, current.report, None)
    if model is not state.model and current.number < MEASUREMENT + MOST_PASSES:
        # Nothing is in the ledger before the last pass: what earlier ones grew goes along.
        state = replace(state, model=model)
        return begin(state, now, current.number - MEASUREMENT + 1), actions
    state = replace(state, model=model, round=None, stage=Stage.GATHERING)
    if any(model.exponents):
        actions.append(Widen(model))
    return state, actions


def growth_notes(
    policy: RangePolicy,
    before: GlobalModel,
    after: GlobalModel,
    report: RangeReport,
    number: int | None,
) -> list[Note]:
    """What a reader of the run's story should know of ranges, and of parameters at their limits."""
    notes = []
    for place, (old, new) in enumerate(zip(before.exponents, after.exponents, strict=True)):
        if not report.is_clipped(place, policy.tolerance):
            continue
        clipped = f"{100 * report.share(place):.2g} % of the outputs of {policy.names[place]}"
        clipped += " are cut off by its range"
        if new > old:
            text = f"{clipped}, which grows to {1 << new} times the exported one"
            notes.append(Note("range", text, None, number))
        else:
            text = f"{clipped}, which may not grow any more" if old else clipped
            notes.append(Note("clipped", text, None, number))
    for place, name in enumerate(policy.segments):
        found, devices = report.saturated[place], report.saturating[place]
        _, count = after.layout.segments[place]
        if found * _FEW > count * report.updates:
            text = (
                f"{found} values of {name} have come to their limit on {devices} devices:"
                " a larger scheme.headroom or a smaller train.learning_rate gives them room"
            )
            notes.append(Note("saturated", text, None, number))
    return notes
