# SPDX-License-Identifier: Apache-2.0
"""A federation in virtual time over bad lines: the real engine and sessions, device models, faults.

Everything follows from one seed: a failure is replayed by running the same seed again.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fleetgrad.device import DeviceEvent, DeviceSession, Expected, Patience, Shape
from fleetgrad.federation.actions import Action, Assign, Dismiss, Fail, Record, SendReceipt
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import Event, start, step
from fleetgrad.federation.state import Stage, State


@dataclass(frozen=True)
class Faults:
    """How bad the lines are: shares of the pieces of bytes that pass.

    Attributes:
        lose: Pieces that vanish.
        flip: Pieces in which a byte changes.
        garbage: Pieces before which a boot log appears.
        reboot: Chance, for each piece that a device receives, that it starts again.
        delay_ms: Longest delay of a piece.
    """

    lose: float = 0.0
    flip: float = 0.0
    garbage: float = 0.0
    reboot: float = 0.0
    delay_ms: int = 3


class Device(Protocol):
    """What the simulator drives: a model of a device, or the firmware itself."""

    def receive(self, data: bytes, now_ms: int) -> None:
        """Takes bytes from the line."""

    def take(self, now_ms: int) -> bytes:
        """Works; returns the bytes to send."""

    def wait(self, now_ms: int) -> int | None:
        """Milliseconds until `take` has something without new bytes; None: never."""


class Simulation:
    """One run.

    Args:
        state: The engine's state, not started.
        segments: Of the trained tensors.
        power_up: Makes a device that has just been switched on, of its id and earlier boots.
        faults: Of every line.
        seed: Of the faults.
    """

    def __init__(
        self,
        state: State,
        segments: tuple[tuple[str, int], ...],
        power_up: Callable[[int, int], Device],
        faults: Faults,
        seed: int,
    ) -> None:
        self._random = random.Random(seed)
        self._faults = faults
        self._power_up = power_up
        roster = state.plan.roster
        self.now_ms = 0
        self.state = start(state, 0.0)
        self.models = {device: power_up(device, 0) for device in roster}
        self.boots = dict.fromkeys(roster, 0)
        self.sessions = {
            device: DeviceSession(
                Expected(device, state.plan.model_digest, Shape(segments)),
                session=1000 + device,
                now=0.0,
                patience=Patience(gone=60.0),
            )
            for device in roster
        }
        self._aggregator = Aggregator(state.plan.strategy, state.model.layout)
        self.actions: list[Action] = []
        self.events: list[DeviceEvent] = []
        self.error: Exception | None = None
        self._flight: list[tuple[int, int, int, bool, bytes]] = []
        self._sent = 0

    def run(self, until_ms: int = 3_600_000) -> None:
        """Lets time pass until the run has ended."""
        while self.state.stage not in (Stage.FINISHED, Stage.FAILED):
            assert self.now_ms < until_ms, f"no end in sight: {self.state.stage} {self.state.round}"
            self._devices_act()
            self._host_acts(self._arrivals())
            self.now_ms = self._next_moment()

    def records(self) -> list[tuple[int, int]]:
        """(round, device) of every update that went into the ledger, in order."""
        return [(a.round, a.device) for a in self.actions if isinstance(a, Record)]

    def _host_acts(self, events: list[DeviceEvent]) -> None:
        now = self.now_ms / 1000
        for session in self.sessions.values():
            events += session.tick(now)
        self.events += events
        todo: list[Event | None] = [*events, None]
        while todo:
            self.state, actions = step(self.state, todo.pop(0), now)
            for action in actions:
                self._carry_out(action, now)
                made = self._aggregator.follow(action)
                if made is not None:
                    todo.insert(0, made)
        for device, session in self.sessions.items():
            while data := session.take(now):
                self._send(device, to_host=False, data=data)

    def _carry_out(self, action: Action, now: float) -> None:
        self.actions.append(action)
        match action:
            case Assign():
                self.sessions[action.device].open_round(action.terms, action.vector, now)
            case SendReceipt():
                self.sessions[action.device].receipt(action.round, action.verdict)
            case Dismiss():
                self.sessions[action.device].abandon_round()
            case Fail():
                self.error = action.error

    def _devices_act(self) -> None:
        for device, model in self.models.items():
            data = model.take(self.now_ms)
            if data:
                self._send(device, to_host=True, data=data)

    def _arrivals(self) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        while self._flight and self._flight[0][0] <= self.now_ms:
            _, _, device, to_host, data = heapq.heappop(self._flight)
            if to_host:
                events += self.sessions[device].receive(data, self.now_ms / 1000)
                continue
            self.models[device].receive(data, self.now_ms)
            if self._random.random() < self._faults.reboot:
                self.boots[device] += 1
                self.models[device] = self._power_up(device, self.boots[device])
        return events

    def _send(self, device: int, *, to_host: bool, data: bytes) -> None:
        """Cuts the bytes into pieces, spoils some, and puts them on the line in order."""
        chance = self._random.random
        pieces = [data[i : i + 64] for i in range(0, len(data), 64)]
        for piece in pieces:
            if chance() < self._faults.lose:
                continue
            spoilt = bytearray(piece)
            if chance() < self._faults.flip:
                spoilt[self._random.randrange(len(piece))] ^= 1 << self._random.randrange(8)
            if chance() < self._faults.garbage:
                spoilt[:0] = b"\r\nets Jun  8 2016 00:22:57 rst:0x1\r\n"
            self._sent += 1
            arrival = self.now_ms + self._random.randint(0, self._faults.delay_ms)
            same = [item[0] for item in self._flight if item[2:4] == (device, to_host)]
            arrival = max([arrival, *same])  # a line never reorders
            heapq.heappush(self._flight, (arrival, self._sent, device, to_host, bytes(spoilt)))

    def _next_moment(self) -> int:
        now = self.now_ms / 1000
        moments = [item[0] for item in self._flight[:1]]
        moments += [
            self.now_ms + wait
            for model in self.models.values()
            if (wait := model.wait(self.now_ms)) is not None
        ]
        moments += [
            self.now_ms + int(wait * 1000) + 1
            for session in self.sessions.values()
            if (wait := session.wait(now)) is not None
        ]
        if self.state.deadline is not None:
            moments.append(int(self.state.deadline * 1000) + 1)
        return max(self.now_ms + 1, min(moments, default=self.now_ms + 1000))
