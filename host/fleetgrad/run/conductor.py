# SPDX-License-Identifier: Apache-2.0
"""The loop around the round engine.

Bytes go from links to sessions, events to the engine, its decisions to the ledger first, and to the
sums and the devices then.
"""

import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import TypeAlias

from fleetgrad.device import (
    BoardSession,
    DeviceEvent,
    DeviceSession,
    GatewaySession,
    Joined,
    Lost,
    Printed,
    Rebooted,
    Refused,
)
from fleetgrad.errors import LinkClosed
from fleetgrad.federation.actions import (
    Action,
    Assign,
    CloseRound,
    Dismiss,
    Fail,
    Finish,
    Note,
    OpenRound,
    Record,
    RecordSum,
    SendReceipt,
)
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import Event, start, step
from fleetgrad.federation.state import Stage, State
from fleetgrad.fleet import Endpoint
from fleetgrad.link import Switchboard, SwitchedLink
from fleetgrad.results import Observer
from fleetgrad.run.recorder import Recorder

# After the last commit, so long at most for the last receipts to leave.
_FAREWELL_S = 1.0

# Updates that come at the same time are kept in memory until they are whole. Beyond so many bytes
# no further one begins: what its device has said stays in the link, and it says it again.
_UPLOAD_BYTES = 16 << 20

# So many lines of a device's own are told: a boot log whole, and not a line that is all noise.
_PRINTED_LINES = 32


Voice: TypeAlias = DeviceSession | BoardSession


@dataclass
class Station:
    """One device as the loop sees it.

    Attributes:
        endpoint: The way to it.
        session: The talk with it.
        unsent: Bytes that the link has not taken.
        open: Whether the link is.
        counted_up: Bytes received before the present round.
        counted_down: Bytes sent before it.
        printed: Lines of the device's own.
        mask: What the selector looks for.
        due: When its session wants to be asked again.
        alarm: Its entry among the alarms.
        upload: Bytes of the update that has begun to come.
    """

    endpoint: Endpoint
    session: DeviceSession | GatewaySession
    unsent: bytes = b""
    open: bool = True
    counted_up: int = 0
    counted_down: int = 0
    printed: int = 0
    mask: int = selectors.EVENT_READ
    due: float = inf
    alarm: float = inf
    upload: int = 0

    @property
    def board(self) -> Switchboard | None:
        """The switchboard that its link is one of."""
        link = self.endpoint.link
        return link.board if isinstance(link, SwitchedLink) else None


class Conductor:
    """Runs the rounds of one run to their end.

    Args:
        state: Where the run stands.
        stations: A session and an endpoint for every device of the roster.
        recorder: Writes to the ledger.
        aggregator: Folds what is recorded.
        observer: Is told.
        remarks: What the fleet has seen since the last call.
        announce: Is told of every round that opens, and of the end (None), each with the number
            and digest of the current version.
        clock: Seconds, only ever forward.
        selector: Waits for links; closed in the end.
    """

    def __init__(
        self,
        state: State,
        stations: Sequence[Station],
        recorder: Recorder,
        aggregator: Aggregator,
        observer: Observer,
        *,
        remarks: Callable[[], list[tuple[int | None, str]]] = list,
        announce: Callable[[int | None, int, bytes], None] = lambda *_: None,
        clock: Callable[[], float],
        selector: selectors.BaseSelector,
    ) -> None:
        self._state = state
        self._stations = {station.session.device: station for station in stations}
        self._voices: dict[int, tuple[Station, Voice]] = {}
        for station in stations:
            session = station.session
            if isinstance(session, DeviceSession):
                self._voices[session.device] = station, session
                continue
            for device in (session.device, *session.boards):
                self._voices[device] = station, session.board(device)
        self._recorder = recorder
        self._aggregator = aggregator
        self._observer = observer
        self._announce = announce
        self._remarks = remarks
        self._clock = clock
        self._opened = clock()
        self._ready: set[int] = set()
        self._selector = selector
        self._dirty: set[int] = set()
        self._held_up: dict[int, None] = {}  # devices that nobody listens to now, in order
        self._uploads = 0  # bytes of updates that have begun to come
        self._alarms: list[tuple[float, int]] = []
        self._boards = {station.board for station in stations if station.board is not None}

    def conduct(self) -> State:
        """Works until the run is finished.

        Raises:
            FleetgradError: When the run cannot go on; what is committed stays.
        """
        with self._selector:
            for board in self._boards:
                self._selector.register(board, selectors.EVENT_READ, board)
            for device, station in self._stations.items():
                if station.board is None:
                    self._selector.register(station.endpoint.link, selectors.EVENT_READ, device)
            self._state = start(self._state, self._clock())
            self._dirty.update(self._stations)
            while self._state.stage is not Stage.FINISHED:
                events = self._listen(self._wait())
                self._decide(events)
                self._talk()
            self._farewell()
        return self._state

    def _wait(self) -> float:
        """Seconds until anything is due without new bytes."""
        now = self._clock()
        waits = [1.0]
        if self._state.deadline is not None:
            waits.append(self._state.deadline - now)
        if self._alarms:
            waits.append(self._alarms[0][0] - now)
        return max(0.0, min(waits))

    def _listen(self, wait: float) -> list[DeviceEvent]:
        """What the devices say, and what time makes of those that say nothing."""
        readable = list(self._held_up)
        for key, mask in self._selector.select(wait):
            devices = key.data.ready() if isinstance(key.data, Switchboard) else [key.data]
            self._dirty.update(devices)
            if mask & selectors.EVENT_READ:
                readable += (device for device in devices if device not in self._held_up)
        events: list[DeviceEvent] = []
        for device in readable:
            events += self._hear(self._stations[device])
        return events + self._ring(self._clock())

    def _hear(self, station: Station) -> list[DeviceEvent]:
        """Reads from a link, unless too many updates are half here already."""
        device = station.session.device
        if self._uploads and station.session.may_upload and self._uploads >= _UPLOAD_BYTES:
            station.session.hold(self._clock())
            if device not in self._held_up:
                self._held_up[device] = None
                if station.board is None:  # else it would be readable again and again
                    self._selector.unregister(station.endpoint.link)
            return []
        if device in self._held_up:
            del self._held_up[device]
            self._dirty.add(device)
            if station.board is None:
                self._selector.register(station.endpoint.link, station.mask, device)
        try:
            data = station.endpoint.link.read()
        except LinkClosed as error:
            return self._hang_up(station, error.what)
        events = station.session.receive(data, self._clock())
        self._weigh(station)
        return events

    def _weigh(self, station: Station) -> None:
        """Counts what the rest of an update will take until it is here."""
        self._uploads += station.session.uploading - station.upload
        station.upload = station.session.uploading

    def _ring(self, now: float) -> list[DeviceEvent]:
        """Lets time pass for those whose time has come."""
        events: list[DeviceEvent] = []
        while self._alarms and self._alarms[0][0] <= now:
            alarm, device = heappop(self._alarms)
            station = self._stations[device]
            if alarm != station.alarm:
                continue  # an earlier one was set since
            station.alarm = inf
            if station.due <= now and station.open:
                events += station.session.tick(now)
                self._dirty.add(device)
            else:
                self._set_alarm(station)
        return events

    def _set_alarm(self, station: Station) -> None:
        """There is at most one that counts per station, and it may be early."""
        if station.due < station.alarm:
            station.alarm = station.due
            heappush(self._alarms, (station.due, station.session.device))

    def _hang_up(self, station: Station, reason: str) -> list[DeviceEvent]:
        if station.open:
            station.open = False
            station.unsent = b""
            station.due = inf
            if station.board is None and station.session.device not in self._held_up:
                self._selector.unregister(station.endpoint.link)
            self._held_up.pop(station.session.device, None)
        events = station.session.hang_up(reason)
        self._weigh(station)
        return events

    def _decide(self, events: Sequence[DeviceEvent]) -> None:
        """Lets the engine take the events, makes its decisions durable, then carries them out."""
        pending: list[Event | None] = [*events, None]
        while pending:
            actions: list[Action] = []
            for event in pending:
                now = self._clock()
                gathering = self._state.stage is Stage.GATHERING
                self._state, more = step(self._state, event, now)
                if gathering and self._state.stage is Stage.ROUND:
                    self._begin_count()
                actions += more
                self._tell(event)
            pending = []
            pending += self._carry_out(actions)

    def _carry_out(self, actions: Sequence[Action]) -> list[Event]:
        """The ledger first: no device hears of anything that could still be lost."""
        ends = [action for action in actions if isinstance(action, CloseRound | Fail)]
        if ends:
            end = ends[0]
            number = end.round if isinstance(end, CloseRound) else self._state.next_round
            actions = [*self._notes(number), *actions]
        self._recorder.commit(actions, self._clock() - self._opened, self._traffic)
        events: list[Event] = []
        for action in actions:
            made = self._aggregator.follow(action)
            if made is not None:
                events.append(made)
            match action:
                case Assign() | SendReceipt() | Dismiss():
                    events += self._instruct(action)
                case OpenRound():
                    if action.attempt == 0:  # a repetition is part of its round
                        self._begin_count()
                    self._observer.round_opened(
                        action.round, action.selected, action.evaluation_only
                    )
                    self._announce(action.round, self._recorder.version, self._state.model.digest)
                case Record():
                    self._observer.update_accepted(action.round, action.device)
                case RecordSum():
                    for device in action.members:
                        self._observer.update_accepted(action.round, device)
                case CloseRound():
                    if action.model is not None:
                        self._observer.round_closed(self._recorder.report(action.round))
                case Finish():
                    self._announce(None, self._recorder.version, self._state.model.digest)
                case Note():
                    self._observer.notice(str(action))
                case Fail():
                    raise action.error
                case _:
                    pass
        return events

    def _notes(self, number: int) -> list[Note]:
        """What was heard and seen in the round that ends, and led to nothing."""
        notes = [Note("fleet", text, device) for device, text in self._remarks()]
        for device, station in self._stations.items():
            if words := station.session.passed_over():
                notes.append(Note("ignored", words, device, number))
        return notes

    def _traffic(self) -> dict[int, tuple[int, int]]:
        """Bytes up and down by device since the round was opened."""
        return {
            device: (
                station.session.bytes_in - station.counted_up,
                station.session.bytes_out - station.counted_down,
            )
            for device, station in self._stations.items()
        }

    def _instruct(self, action: Assign | SendReceipt | Dismiss) -> list[DeviceEvent]:
        station, voice = self._voices[action.device]
        self._dirty.add(station.session.device)
        match action:
            case Assign():
                if not station.open:
                    return [Lost(action.device, "the link to it is closed")]
                voice.open_round(action.terms, action.vector, self._clock())
            case SendReceipt():
                voice.receipt(action.round, action.verdict)
            case Dismiss():
                voice.abandon_round()
        return []

    def _talk(self) -> None:
        """Hands the links what they take."""
        for device in tuple(self._dirty):
            self._dirty.discard(device)
            station = self._stations[device]
            if not station.open:
                continue
            try:
                self._drain(station)
            except LinkClosed as error:
                self._decide(self._hang_up(station, error.what))
        for board in self._boards:
            board.flush()

    def _drain(self, station: Station) -> None:
        link = station.endpoint.link
        while True:
            if not station.unsent:
                station.unsent = station.session.take(self._clock())
                if not station.unsent:
                    break
            sent = link.write(station.unsent)
            station.unsent = station.unsent[sent:]
            if station.unsent:
                break
        pause = None if station.unsent else station.session.wait(self._clock())
        station.due = inf if pause is None else self._clock() + pause
        self._set_alarm(station)
        self._weigh(station)
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if station.unsent else 0)
        if station.board is None and mask != station.mask:
            station.mask = mask
            if station.session.device not in self._held_up:
                self._selector.modify(link, mask, station.session.device)

    def _farewell(self) -> None:
        """The last receipts leave; a device that takes none is none the worse."""
        until = self._clock() + _FAREWELL_S
        while any(s.unsent for s in self._stations.values() if s.open):
            if self._clock() >= until:
                break
            self._listen(0.05)
            self._talk()

    def _begin_count(self) -> None:
        self._opened = self._clock()
        for station in self._stations.values():
            station.counted_up = station.session.bytes_in
            station.counted_down = station.session.bytes_out

    def _tell(self, event: Event | None) -> None:
        match event:
            case Joined() if event.device not in self._ready:
                self._ready.add(event.device)
                total = len(self._state.plan.roster)
                self._observer.device_ready(event.device, len(self._ready), total)
            case Printed():
                self._quote(event)
            case Rebooted() | Refused():
                pass  # the engine's notes tell of them
            case _:
                pass

    def _quote(self, event: Printed) -> None:
        station = self._stations[event.device]
        station.printed += 1
        if station.printed <= _PRINTED_LINES:
            self._observer.notice(f"device {event.device} printed: {event.text}")
        elif station.printed == _PRINTED_LINES + 1:
            self._observer.notice(f"device {event.device} prints on; the rest is not shown")
