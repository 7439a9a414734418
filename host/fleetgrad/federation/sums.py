# SPDX-License-Identifier: Apache-2.0
"""Sums that gateways have made: whether they are what they say, and what they mean for a round."""

from dataclasses import replace

from fleetgrad.device import REASONS, Fate, SumBlob, Summed
from fleetgrad.errors import FleetgradError, WireError
from fleetgrad.federation.actions import Action, Note, RecordSum, SendReceipt
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import Layout
from fleetgrad.federation.partial import MARK_MODULUS, PartialSum, mark_of
from fleetgrad.federation.state import Stage, State
from fleetgrad.federation.strategies import Averaging, Strategy
from fleetgrad.wire.messages import Verdict


def facts_in(found: SumBlob) -> dict[int, Facts]:
    """What a sum says of each update in it, by device."""
    return {
        e.device: Facts(
            e.samples, e.eval_samples, e.eval_correct, e.eval_loss, e.train_loss, e.exponents
        )
        for e in found.entries
        if e.fate is Fate.COUNTED
    }


def part_of(layout: Layout, strategy: Strategy, found: SumBlob, *, trained: bool) -> PartialSum:
    """The partial sum in a gateway's answer.

    Args:
        layout: Of the parameters.
        strategy: Of the run.
        found: The answer.
        trained: Whether it is of a training round.

    Raises:
        WireError: It is damaged, or not the sum of what is said to be in it: of other updates, or
            with other weights than the strategy gives.
    """
    part = PartialSum.from_bytes(layout, found.part)
    counted = [entry for entry in found.entries if entry.fate is Fate.COUNTED]
    mark = sum(mark_of(e.device, found.round, e.digest) for e in counted) % MARK_MODULUS
    if (part.count, part.mark) != (len(counted), mark):
        raise WireError("a gateway's sum is not of the updates that it names")
    numbers = strategy.numbers if isinstance(strategy, Averaging) else 1
    if len(part.weights) != numbers:
        raise WireError(f"a gateway's sum with {len(part.weights)} weights, not {numbers}")
    weights = [0] * numbers
    bounds = [0] * len(part.bounds)
    if trained and isinstance(strategy, Averaging):
        for facts in facts_in(found).values():
            mine = strategy.weigh(facts)
            weights = [a + b for a, b in zip(weights, mine, strict=True)]
            bounds = [
                a + (mine[0] * 127 << e) for a, e in zip(bounds, facts.exponents, strict=True)
            ]
    if part.weights != tuple(weights) or part.bounds != tuple(bounds):
        raise WireError(
            f"a gateway's sum has other weights than {strategy.name} gives",
            hint="the gateway needs the [strategy] and [train] of this run",
        )
    return part


def take(state: State, event: Summed) -> tuple[State, list[Action]]:
    """What the arrival of a gateway's answer changes: all of it counts, or nothing."""
    current, number, found = state.round, event.round, event.found
    receipt = SendReceipt(event.device, number, Verdict.ACCEPTED)

    def refuse(kind: str, text: str, verdict: Verdict) -> tuple[State, list[Action]]:
        note = Note(kind, text, event.device, number, found.digest)
        return state, [note, replace(receipt, verdict=verdict)]

    if current is None or current.number != number or state.stage is Stage.CLOSING:
        text = f"a sum of round {number}, which is not open for it"
        return refuse("stale", text, Verdict.STALE)
    counted = facts_in(found)
    again = sorted(set(counted) & set(current.accepted))
    if again and len(again) == len(counted):
        return refuse("duplicate", "a sum of updates that count already", Verdict.DUPLICATE)
    trained = state.stage is Stage.ROUND and number <= state.plan.rounds
    try:
        part = part_of(state.model.layout, state.plan.strategy, found, trained=trained)
        if again:
            raise WireError(
                f"a sum with the update of device {again[0]:016x}, which counts already"
            )
        strangers = {entry.device for entry in found.entries} - set(event.boards)
        if strangers or not set(counted) <= current.members:
            raise WireError("a sum with boards that were not asked")
    except FleetgradError as error:
        # Whoever does not count yet is asked again: a sum cannot be taken apart.
        others = frozenset(event.boards) - frozenset(current.accepted)
        if again:
            current = replace(current, assigned=current.assigned - others)
        else:
            current = replace(current, out={**current.out, **dict.fromkeys(others, error.what)})
        state = replace(state, round=current)
        return refuse("overlap" if again else "malformed", error.what, Verdict.REFUSED)
    out = {
        entry.device: REASONS[entry.fate]
        for entry in found.entries
        if entry.fate is not Fate.COUNTED and entry.device not in current.accepted
    }
    opened = replace(
        current,
        accepted={**current.accepted, **counted},
        report=current.report.merge(part.report),
        out={d: why for d, why in {**current.out, **out}.items() if d not in counted},
    )
    passes = state.stage is Stage.MEASURING
    notes: list[Action] = [
        Note("lost", why, device, None if passes else number) for device, why in out.items()
    ]
    record = [] if passes else [RecordSum(number, event.device, counted, found, part)]
    return replace(state, round=opened), [*notes, *record, receipt]
