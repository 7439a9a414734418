# SPDX-License-Identifier: Apache-2.0
"""Rounds over a virtual fleet: choose, compute shards, fold them together, make a version."""

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Shape, read_update
from fleetgrad.errors import RoundError
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import round_terms
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.ranges import MEASUREMENT, MOST_PASSES, RangeReport, grow
from fleetgrad.federation.state import Plan
from fleetgrad.federation.strategies import Averaging
from fleetgrad.simulate.clock import Clock, Held, uniform
from fleetgrad.simulate.engine import Engine, Stopwatch
from fleetgrad.simulate.native import Shard, Totals
from fleetgrad.simulate.samples import FleetSamples
from fleetgrad.simulate.sums import partial_of, report_of
from fleetgrad.wire.messages import Work

MOST_SEEN = 1 << 16
"""Devices of a round whose updates a strategy may want to see one by one."""

_SELECT = 1000  # purpose of the random numbers
_CHUNK = 256  # payload bytes on the line, framing apart
_ROUND_OPEN = 64


@dataclass(frozen=True)
class SimulatedRound:
    """A closed round.

    Attributes:
        round: From 1.
        selected: Devices asked.
        accepted: Devices whose update counted.
        dropped: Devices that did not contribute, by reason.
        loss: Mean training loss, weighted by samples: nats, or squared output units.
        accuracy: Of the version that it made, on the held-out samples; None without any.
        bytes_up: Framing included.
        bytes_down: Likewise.
        seconds: Of the simulated clock; None without one.
        joules: Of all devices asked; None without a clock.
        digest: Of the updates that counted.
        model_digest: Of the version.
    """

    round: int
    selected: int
    accepted: int
    dropped: dict[str, int]
    loss: float | None
    accuracy: float | None
    bytes_up: int
    bytes_down: int
    seconds: float | None
    joules: float | None
    digest: str
    model_digest: str

    def to_json(self) -> dict[str, Any]:
        """The keys of a run's round; devices are counted, not listed."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False)
class Simulation:
    """A finished simulation.

    Attributes:
        rounds: In order.
        model: The final version.
        accuracy_before: Of the version it began with; None without held-out samples or labels.
        device_rounds: How often a device has trained, in all.
        seconds: Of computing the rounds, by the wall.
        processor_seconds: Of this process, for the same.
        peak_rss_bytes: Of this process, so far.
    """

    rounds: tuple[SimulatedRound, ...]
    model: GlobalModel
    accuracy_before: float | None
    device_rounds: int
    seconds: float
    processor_seconds: float
    peak_rss_bytes: int

    @property
    def accuracy_after(self) -> float | None:
        """Of the final version."""
        return self.rounds[-1].accuracy if self.rounds else self.accuracy_before

    @property
    def device_rounds_per_second(self) -> float:
        """Training of devices alone, scoring of versions apart."""
        return self.device_rounds / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, eq=False)
class Heldout:
    """Samples that versions are scored on.

    Attributes:
        inputs: int8 [n, sample bytes].
        targets: uint8 [n, target bytes].
    """

    inputs: NDArray[np.int8]
    targets: NDArray[np.uint8]


@dataclass(eq=False)
class Simulator:
    """Holds rounds.

    Attributes:
        plan: What does not change; its roster is not used: the fleet is the roster.
        samples: The fleet's.
        engine: Computes.
        clock: The fleet in time; None: everybody is always there.
        test: What versions are scored on; None: they are not.
        loss_unit: What 1024 of a device's loss units are.
        tell: Is told of each round that closes, and in words of what a user should know.
    """

    plan: Plan
    samples: FleetSamples
    engine: Engine
    clock: Clock | None
    test: Heldout | None
    loss_unit: float
    tell: Callable[[SimulatedRound | str], None]
    _watch: Stopwatch = field(default_factory=Stopwatch, init=False)
    _trained: int = field(default=0, init=False)

    def run(self, model: GlobalModel) -> Simulation:
        """Holds all rounds.

        Args:
            model: The version to start from.

        Raises:
            RoundError: A round has too few updates, or a sum leaves 64 bits.
        """
        before = self._accuracy(model)
        folded = Aggregator(self.plan.strategy, model.layout)
        rounds = []
        if self.plan.ranges.before and model.exponents:
            model = self._measure(model)
        for number in range(1, self.plan.rounds + 1):
            held = self._choose(number)
            model, made = self._round(number, model, held, folded)
            rounds.append(made)
            self.tell(made)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        watch = self._watch
        return Simulation(
            tuple(rounds),
            model,
            before,
            self._trained,
            watch.seconds,
            watch.processor_seconds,
            peak,
        )

    def _able(self) -> NDArray[np.uint32]:
        return np.flatnonzero(self.samples.train_counts()).astype(np.uint32)

    def _choose(self, number: int) -> Held:
        """Who contributes to a round."""
        if self.clock is not None:
            return self.clock.hold(number, self._wanted(self.clock.able))
        able = self._able()
        wanted = self._wanted(len(able))
        if wanted < len(able):
            tickets = uniform(self.plan.seed, _SELECT, number, able)
            able = np.sort(able[np.argpartition(tickets, wanted - 1)[:wanted]])
        return Held(able, len(able), asked_down=len(able))

    def _wanted(self, able: int) -> int:
        share = int(np.ceil(self.plan.fraction * able))
        return min(max(share, self.plan.needed), able)

    def _measure(self, model: GlobalModel) -> GlobalModel:
        """Lets scales of activations grow before the first round, as a run does."""
        policy = self.plan.ranges
        devices = self._choose(1).devices if self.clock is None else self._able()
        for measuring in range(1, MOST_PASSES + 1):
            vector = model.vector()
            opened = round_terms(self.plan, model, MEASUREMENT + measuring, vector, Work.MEASURE)
            report = RangeReport.empty(model.layout.shape)
            for _, shard in self.engine.run(opened, vector, devices):
                report = report.merge(report_of(shard))
            grown = grow(model, report, policy.tolerance)
            if grown is model:
                return model
            scales = sum(a != b for a, b in zip(grown.exponents, model.exponents, strict=True))
            self.tell(f"{scales} activation scales are doubled before round 1")
            model = grown
        return model

    def _round(
        self, number: int, model: GlobalModel, held: Held, folded: Aggregator
    ) -> tuple[GlobalModel, SimulatedRound]:
        vector = model.vector()
        opened = round_terms(self.plan, model, number, vector, Work.TRAIN)
        folded.begin()
        totals = Totals()
        report = RangeReport.empty(model.layout.shape)
        single = self._singly(len(held.devices))
        with self._watch:
            for devices, shard in self.engine.run(opened, vector, held.devices, blobs=single):
                totals = totals.merge(shard.totals)
                if single:
                    told = self._fold_singly(devices, shard, model, folded)
                else:
                    part = partial_of(shard, model.layout)
                    folded.merge(part)
                    told = part.report
                report = report.merge(told)
        self._trained += totals.updates
        lost = {"failed": totals.failed, "refused": totals.updates - report.updates}
        dropped = {**held.dropped, **{reason: count for reason, count in lost.items() if count}}
        if report.updates < self.plan.needed:
            raise RoundError(
                f"round {number} has {report.updates} of the {self.plan.needed} updates it needs",
                where=", ".join(f"{count} {reason}" for reason, count in dropped.items()),
                expected=f"rounds.min_updates = {self.plan.min_updates}",
                hint="a larger rounds.fraction or simulate.over, or a later deadline",
            )
        made = folded.finish(model, number).model
        if self.plan.ranges.drift:
            made = grow(made, report, self.plan.ranges.tolerance)
        down, up = traffic_of(model.layout.shape, len(vector))
        loss = None
        if totals.samples:
            loss = totals.train_loss / totals.samples / 1024 * self.loss_unit
        return made, SimulatedRound(
            round=number,
            selected=held.selected,
            accepted=report.updates,
            dropped=dropped,
            loss=loss,
            accuracy=self._accuracy(made),
            bytes_up=up * totals.updates,
            bytes_down=down * held.asked_down,
            seconds=None if self.clock is None else held.seconds,
            joules=None if self.clock is None else held.joules,
            digest=f"{totals.digest:016x}",
            model_digest=made.digest.hex(),
        )

    def _singly(self, devices: int) -> bool:
        """Whether the strategy has to see the updates one by one."""
        strategy = self.plan.strategy
        if isinstance(strategy, Averaging) and strategy.by_samples:
            return False
        if devices > MOST_SEEN:
            raise RoundError(
                f"the strategy {strategy.name} looks at each of {devices} updates",
                where="strategy.name",
                expected=f"at most {MOST_SEEN} devices in a round",
                hint="a smaller rounds.fraction, or fedavg",
            )
        return True

    def _fold_singly(
        self, devices: NDArray[np.uint32], shard: Shard, model: GlobalModel, folded: Aggregator
    ) -> RangeReport:
        assert shard.blobs is not None
        shape = model.layout.shape
        report = RangeReport.empty(shape)
        for device, record, row in zip(devices.tolist(), shard.records, shard.blobs, strict=True):
            if record["status"]:
                continue
            update = read_update(row.tobytes(), shape, int(Work.TRAIN))
            refused = self.plan.strategy.refusal(update, model.layout)
            if refused:
                self.tell(f"device {self.samples.first_id + device}: {refused}")
                continue
            folded.add(self.samples.first_id + device, update, Facts.of(update))
            report = report.add(update)
        return report

    def _accuracy(self, model: GlobalModel) -> float | None:
        if self.test is None or not len(self.test.inputs):
            return None
        correct, _ = self.engine.score(model.vector(), self.test.inputs, self.test.targets)
        return correct / len(self.test.inputs)


def traffic_of(shape: Shape, vector_bytes: int) -> tuple[int, int]:
    """Bytes down to and up from one device in a round, framing included."""
    up = line_bytes(shape.update_bytes(int(Work.TRAIN)))
    return line_bytes(vector_bytes) + _ROUND_OPEN, up


def line_bytes(count: int) -> int:
    """What a blob takes on the line, in full chunks: SPEC.md, "Update blob"."""
    return count + 24 * -(-count // (_CHUNK - 6)) + count // 254
