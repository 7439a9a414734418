# SPDX-License-Identifier: Apache-2.0
"""What a run is and where it stands. Frozen: the engine makes a new state for every event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.ranges import RangePolicy, RangeReport
from fleetgrad.federation.selections import Selection, Uniform
from fleetgrad.federation.strategies import FedAvg, Strategy


@dataclass(frozen=True)
class Plan:
    """What does not change during a run.

    Attributes:
        roster: Device ids that hold samples to train on.
        evaluators: Those of the roster that hold held-out samples too.
        model_digest: First 8 bytes of the bundle's digest.
        rounds: Training rounds; one evaluation-only round follows them.
        min_updates: A round with fewer is repeated or fails the run.
        fraction: Share of the roster asked in each round.
        timeout_s: Seconds until a round closes with what it has; also how long to wait for the
            fleet to appear.
        retries: How often a round with too few updates is repeated before the run fails.
        seed: Of selection, sample order and stochastic rounding.
        lr_mantissa: Learning rate = lr_mantissa * 2^(lr_exponent - 15).
        lr_exponent: See there.
        epochs: Passes over a device's samples in a round.
        batch: Rows of one step.
        max_steps: Steps of a round at most, 0 for no limit.
        rates: Mantissa and exponent of each round's rate where it changes; empty: it does not.
        ranges: What to do about clipped activations.
        strategy: How updates become a version.
        selection: Who is asked.
        samples: To train on, by device; a device that is not named counts as having one.
    """

    roster: tuple[int, ...]
    evaluators: tuple[int, ...]
    model_digest: bytes
    rounds: int
    min_updates: int
    fraction: float
    timeout_s: float
    retries: int
    seed: int
    lr_mantissa: int
    lr_exponent: int
    epochs: int
    batch: int
    max_steps: int
    rates: tuple[tuple[int, int], ...] = ()
    ranges: RangePolicy = field(default_factory=RangePolicy)
    strategy: Strategy = field(default_factory=FedAvg)
    selection: Selection = field(default_factory=Uniform)
    samples: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def members(self) -> frozenset[int]:
        """The roster, to look ids up in."""
        return frozenset(self.roster)

    @property
    def needed(self) -> int:
        """A training round with fewer updates makes no version."""
        return max(1, self.min_updates, self.strategy.least)

    def rate(self, number: int) -> tuple[int, int]:
        """Mantissa and exponent of a round's learning rate."""
        if not self.rates:
            return self.lr_mantissa, self.lr_exponent
        return self.rates[min(number, len(self.rates)) - 1]


class Stage(StrEnum):
    """What the run is doing."""

    GATHERING = "gathering"
    MEASURING = "measuring"
    ROUND = "round"
    CLOSING = "closing"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Round:
    """An open round.

    Attributes:
        number: From 1; ``Plan.rounds + 1`` is the evaluation.
        selected: Devices asked.
        report: What the updates at hand say of limits.
        attempt: From 0; counts repetitions.
        deadline: When to close with what is there.
        accepted: What is known of the updates in the ledger, by device.
        out: Devices that will not contribute as things stand, with reasons.
        assigned: Devices that have been given the terms in this attempt.
    """

    number: int
    selected: tuple[int, ...]
    report: RangeReport
    attempt: int = 0
    deadline: float = 0.0
    accepted: Mapping[int, Facts] = field(default_factory=dict)
    out: Mapping[int, str] = field(default_factory=dict)
    assigned: frozenset[int] = frozenset()

    @cached_property
    def members(self) -> frozenset[int]:
        """The devices asked, to look ids up in."""
        return frozenset(self.selected)

    @property
    def is_pending(self) -> bool:
        """Whether any device may still contribute."""
        # Only devices that were asked are in either, and none is in both.
        return len(self.accepted) + len(self.out) < len(self.selected)

    @property
    def pending(self) -> tuple[int, ...]:
        """Devices that may still contribute."""
        return tuple(d for d in self.selected if d not in self.accepted and d not in self.out)


@dataclass(frozen=True)
class State:
    """A run between two events.

    Attributes:
        plan: What does not change.
        model: The newest version.
        next_round: The round to open next, or the one open.
        stage: What the run is doing.
        round: The open round; while measuring, the open pass, numbered from `MEASUREMENT`; while
            gathering, a round that an interrupted run had open.
        present: Devices that have joined and are not lost.
        lost: Devices that do not answer, with reasons.
        barred: Devices that can never take part, with reasons.
        gather_until: When to stop waiting for the fleet to appear.
        losses: Training loss of each device's last update in a closed round, where the selection
            reads them.
    """

    plan: Plan
    model: GlobalModel
    next_round: int = 1
    stage: Stage = Stage.GATHERING
    round: Round | None = None
    present: frozenset[int] = frozenset()
    lost: Mapping[int, str] = field(default_factory=dict)
    barred: Mapping[int, str] = field(default_factory=dict)
    gather_until: float = 0.0
    losses: Mapping[int, int] = field(default_factory=dict)

    @property
    def deadline(self) -> float | None:
        """When the engine wants to be asked again, whatever the devices do."""
        if self.stage is Stage.GATHERING:
            return self.gather_until
        opened = self.stage in (Stage.ROUND, Stage.MEASURING)
        return self.round.deadline if opened and self.round else None
