# SPDX-License-Identifier: Apache-2.0
"""What fleets really do: sleep, drop out, run out of charge, have slow links and slow processors.

A discrete-event model, a round at a time and vectorised over devices. Every random number is a
function of (seed, purpose, round, device), so neither the order of devices nor the number of
workers can change a result. Shares and swings by default are those of Bonawitz et al. 2019
(arXiv 1902.01046): availability swings four-fold over a day, 6 to 10 % drop out, 130 % are asked.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError

DAY_S = 86400.0
SLOT_S = 1800.0
"""For so long a device stays available or away."""

_PATIENCE_S = 3 * DAY_S
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Floats = NDArray[np.float64]
Ids = NDArray[np.uint32]


@dataclass(frozen=True)
class DeviceClass:
    """One kind of board in the fleet.

    Attributes:
        name: Of the board.
        share: Of the fleet; shares of all classes are scaled to sum to 1.
        instructions: Of a training step, forward pass included.
        hz: Instructions in a second.
        joules: Of an instruction.
        fits: Whether the board can hold the plan; where not, its devices are left out.
    """

    name: str
    share: float
    instructions: float
    hz: float
    joules: float
    fits: bool = True


@dataclass(frozen=True)
class Terms:
    """How the fleet behaves, and how rounds are held.

    Attributes:
        classes: Kinds of boards.
        awake: Mean share of devices that can be reached.
        swing: How many times more can at the best hour of the day than at the worst.
        dropout: Share of those asked that vanish in mid-round.
        bytes_per_s: Median speed of links; they are log-normal with a sigma of 0.5.
        byte_joules: Of a byte, either way.
        battery: What a full battery holds, joules; 0: mains.
        charge_watts: What the device gains on average, all the time.
        reserve: Share of a battery below which a device is not asked (with selection "thrifty").
        over: How many more are asked than are needed.
        deadline_s: When a round closes with what it has; 0: never.
        selection: "uniform", or "thrifty": only those that have the charge, and are likely to be
            done before the deadline.
    """

    classes: tuple[DeviceClass, ...]
    awake: float = 0.25
    swing: float = 4.0
    dropout: float = 0.08
    bytes_per_s: float = 20_000.0
    byte_joules: float = 5e-7
    battery: float = 0.0
    charge_watts: float = 0.0
    reserve: float = 0.2
    over: float = 1.3
    deadline_s: float = 0.0
    selection: str = "uniform"


@dataclass(frozen=True, eq=False)
class Held:
    """A round as the clock saw it.

    Attributes:
        devices: Those whose update arrives in time, ascending.
        selected: How many were asked.
        dropped: How many did not contribute, by reason.
        seconds: From when the round could begin to its end, waiting for devices included.
        joules: Of all devices asked, those included that were in vain.
        asked_down: Devices that got the parameters.
    """

    devices: Ids
    selected: int
    dropped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    joules: float = 0.0
    asked_down: int = 0


def uniform(seed: int, purpose: int, number: int, devices: NDArray[np.integer]) -> Floats:
    """A number in [0, 1) for each device: SplitMix64's finaliser of all arguments."""
    head = _mix64(np.array([seed, purpose, number], np.uint64) + _GOLDEN)
    key = _mix64(head[0] ^ _mix64(head[1] ^ _mix64(head[2:])))
    bits = _mix64(key ^ (devices.astype(np.uint64) * _GOLDEN))
    return (bits >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)), np.uint64)


def normal(seed: int, purpose: int, number: int, devices: NDArray[np.integer]) -> Floats:
    """Standard normal numbers (Box and Muller)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(seed, purpose, number, devices)))
    return radius * np.cos(2.0 * np.pi * uniform(seed, purpose + 1, number, devices))


_KIND, _SPEED, _ZONE, _CHARGE, _AWAKE, _TICKET, _LOST, _WHEN, _JITTER = range(0, 90, 10)


class Clock:
    """The fleet in time: who is there, how long it takes, what is left in the batteries.

    Args:
        terms: See `Terms`.
        steps: Of each device in a round: int64 [devices]; 0 for one without samples.
        seed: Of everything random.
        traffic: Bytes down and up, of one device in a round.
    """

    def __init__(
        self, terms: Terms, steps: NDArray[np.int64], seed: int, traffic: tuple[int, int]
    ) -> None:
        self.now = 0.0
        self._terms = terms
        self._seed = seed
        count = len(steps)
        devices = np.arange(count, dtype=np.uint32)
        shares = np.array([one.share for one in terms.classes], np.float64)
        edges = np.cumsum(shares / shares.sum())[:-1]
        kind = np.searchsorted(edges, uniform(seed, _KIND, 0, devices), side="right")
        rates = np.array([(one.instructions / one.hz) for one in terms.classes])
        costs = np.array([(one.instructions * one.joules) for one in terms.classes])
        fits = np.array([one.fits for one in terms.classes])
        speed = terms.bytes_per_s * np.exp(0.5 * normal(seed, _SPEED, 0, devices))
        down, up = traffic
        self._able = fits[kind] & (steps > 0)
        self.kinds = np.bincount(kind, minlength=len(terms.classes))
        self._seconds = (steps * rates[kind] + (down + up) / speed).astype(np.float32)
        self._joules = (steps * costs[kind] + (down + up) * terms.byte_joules).astype(np.float32)
        self._zone = (normal(seed, _ZONE, 0, devices) * (2.0 / 24.0)).astype(np.float32)
        self._charge = (terms.battery * uniform(seed, _CHARGE, 0, devices)).astype(np.float32)
        self._charged_at = 0.0

    @property
    def able(self) -> int:
        """Devices that can ever take part."""
        return int(self._able.sum())

    def hold(self, number: int, wanted: int) -> Held:
        """One round.

        Args:
            number: Of the round.
            wanted: How many updates it takes.

        Raises:
            RoundError: In three days there were never enough devices.
        """
        began = self.now
        wanted = min(wanted, self.able)
        ask = min(int(np.ceil(wanted * self._terms.over)), self.able)
        candidates = self._wait(ask)
        tickets = uniform(self._seed, _TICKET, number, candidates)
        if len(candidates) > ask:
            candidates = candidates[np.argpartition(tickets, ask - 1)[:ask]]
        asked = np.sort(candidates)
        return self._conduct(number, asked, wanted, began)

    def _wait(self, ask: int) -> Ids:
        """Lets time pass until there are enough to ask."""
        until = self.now + _PATIENCE_S
        while self.now < until:
            self._recharge()
            there = self._there()
            if len(there) >= ask:
                return there
            self.now = (np.floor(self.now / SLOT_S) + 1) * SLOT_S
        raise RoundError(
            f"in three days there were never {ask} devices to ask at a time",
            expected=f"at most {self.able} of the fleet, as often as they can be reached",
            hint="a smaller rounds.fraction, or larger simulate.awake or simulate.charge_mw",
        )

    def _there(self) -> Ids:
        """Who can be reached now, and may be asked."""
        terms = self._terms
        able = np.flatnonzero(self._able).astype(np.uint32)
        depth = (terms.swing - 1.0) / (terms.swing + 1.0)
        hour = self.now / DAY_S - self._zone[able]
        chance = terms.awake * (1.0 + depth * np.cos(2.0 * np.pi * hour))
        slot = int(self.now // SLOT_S)
        there: Ids = able[uniform(self._seed, _AWAKE, slot, able) < chance]
        if terms.selection == "thrifty":
            if terms.battery:
                left = self._charge[there] - self._joules[there]
                there = there[left >= terms.reserve * terms.battery]
            if terms.deadline_s:
                there = there[self._seconds[there] <= terms.deadline_s]
        return there

    def _recharge(self) -> None:
        terms = self._terms
        if terms.battery:
            gained = np.float32(terms.charge_watts * (self.now - self._charged_at))
            np.minimum(self._charge + gained, np.float32(terms.battery), out=self._charge)
            self._charged_at = self.now

    def _conduct(self, number: int, asked: Ids, wanted: int, began: float) -> Held:
        terms, seed = self._terms, self._seed
        jitter = np.exp(0.1 * normal(seed, _JITTER, number, asked))
        takes = self._seconds[asked] * jitter
        needs = self._joules[asked].astype(np.float64)
        gone = np.full(len(asked), np.inf)  # when it vanishes
        vanish = uniform(seed, _LOST, number, asked) < terms.dropout
        gone[vanish] = (uniform(seed, _WHEN, number, asked) * takes)[vanish]
        empty = np.zeros(len(asked), bool)
        if terms.battery:
            share = self._charge[asked] / needs
            empty = (share < 1.0) & (share * takes < gone)
            gone[empty] = (share * takes)[empty]
        arrives = np.where(np.isinf(gone), takes, np.inf)
        closes = float(np.partition(arrives, wanted - 1)[wanted - 1])
        if terms.deadline_s:
            closes = min(closes, terms.deadline_s)
        if not np.isfinite(closes):  # not enough are left: whoever is still at it is awaited
            ends = np.minimum(arrives, gone)
            closes = float(ends.max())
        kept = np.flatnonzero(arrives <= closes)
        if len(kept) > wanted:
            kept = kept[np.lexsort((asked[kept], arrives[kept]))[:wanted]]
        worked = np.minimum(np.minimum(takes, gone), closes) / takes
        spent = needs * worked
        if terms.battery:
            self._charge[asked] = np.maximum(self._charge[asked] - spent, 0.0).astype(np.float32)
        self.now += closes
        vanished, died = vanish & ~empty & (gone <= closes), empty & (gone <= closes)
        reasons = {"dropped out": int(vanished.sum()), "battery empty": int(died.sum())}
        reasons["too late"] = len(asked) - len(kept) - sum(reasons.values())
        return Held(
            np.sort(asked[kept]),
            len(asked),
            {reason: count for reason, count in reasons.items() if count},
            self.now - began,
            float(spent.sum()),
            len(asked),
        )
