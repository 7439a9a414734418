# SPDX-License-Identifier: Apache-2.0
"""A gateway that shows its boards to the host as one: a round's updates go up as their sum.

Updates are in custody one by one, so a sum that was lost on its way, or is wanted of other boards,
is made again.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fleetgrad.device import (
    Arrived,
    BoardSession,
    DeviceEvent,
    Entry,
    Fate,
    Identity,
    Joined,
    Lost,
    Order,
    Refused,
    Spoiled,
    Summed,
    Unable,
    Update,
    hello_of,
    read_update,
    write_sum,
)
from fleetgrad.errors import FleetgradError, RoundError, StoreError, WireError
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import Layout
from fleetgrad.federation.partial import Fold, PartialSum
from fleetgrad.federation.strategies import Averaging
from fleetgrad.federation.sums import part_of
from fleetgrad.gateway.boards import Boards
from fleetgrad.gateway.custody import Custody
from fleetgrad.gateway.proxy import Called, Proxy, ProxyEvent, Settled, Wanted
from fleetgrad.wire.framing import encode_message
from fleetgrad.wire.messages import ErrorCode, RoundOpen, Verdict, Work

# Of the time that this gateway has: so long may one below wait, and then its sum has to come here.
_SHARE = 0.75


@dataclass
class Task:
    """A round's work.

    Attributes:
        terms: For the boards.
        order: What the host wants.
        until: When to send what is there.
        total: The sum so far.
        entries: What became of boards, as far as it is known.
        lost: Boards that do not answer now.
        below: Gateways whose sums are in it.
        offered: The sum is on its way.
    """

    terms: RoundOpen
    order: Order
    until: float
    total: PartialSum
    entries: dict[int, Entry] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    below: set[int] = field(default_factory=set)
    offered: bool = False

    def awaits(self, device: int) -> bool:
        """Whether a board's answer would still count."""
        return not self.offered and device in self.order.boards and device not in self.entries

    @property
    def trains(self) -> bool:
        """Whether there are deltas to sum."""
        return bool(self.terms.work & Work.TRAIN)


class Sums:
    """`fleetgrad.gateway.gateway.Front` of all boards together.

    Args:
        identity: Of this gateway, with no samples; its boots are its starts.
        boards: The boards.
        custody: Keeps updates.
        strategy: Gives updates their weights, as in the host's run.
        layout: Of the parameters.
        fold: Does the adding.
        tell: Is told what happens.
    """

    def __init__(
        self,
        identity: Identity,
        boards: Boards,
        custody: Custody,
        *,
        strategy: Averaging,
        layout: Layout,
        fold: Fold,
        tell: Callable[[str], None],
    ) -> None:
        self._identity = identity
        self._boards = boards
        self._custody = custody
        self._strategy = strategy
        self._layout = layout
        self._fold = fold
        self._tell = tell
        self._proxy = Proxy(identity)
        self._met: dict[int, Identity] = {}
        self._asked: dict[int, RoundOpen] = {}
        self._task: Task | None = None

    @property
    def sums(self) -> bool:
        """See `Front`: parts of a sum add up to it."""
        return True

    def meet(self, identity: Identity) -> list[tuple[int, str, bytes]]:
        """See `Front`."""
        self._met[identity.device] = identity
        met = self._met.values()
        self._identity = replace(
            self._identity,
            train_samples=sum(board.train_samples for board in met),
            eval_samples=sum(board.eval_samples for board in met),
        )
        self._proxy.identity = self._identity
        if self._task is not None and self._task.awaits(identity.device):
            self._ask(self._task, identity.device)
        hellos = [encode_message(hello_of(board), 0, 0) for board in met]
        told = self._proxy.presence() + b"".join(hellos)
        return [(self._identity.device, "gateway", told)]

    def leave(self) -> list[tuple[int, str, bytes]]:
        """See `Front`."""
        return [(self._identity.device, "gateway", b"")]

    def addresses(self) -> Sequence[int]:
        """See `Front`."""
        return [self._identity.device]

    def receive(self, address: int, data: bytes) -> None:
        """See `Front`."""
        del address
        for event in self._proxy.receive(data):
            self._from_host(event)

    def take(self, now: float) -> list[tuple[int, bytes]]:
        """See `Front`."""
        task = self._task
        if task is not None and not task.offered:
            waiting = set(task.order.boards) - set(task.entries) - task.lost
            if not waiting or now >= task.until:
                self._offer(task)
        data = self._proxy.take(round(now * 1000))
        return [(self._identity.device, data)] if data else []

    def wait(self, now: float) -> float | None:
        """See `Front`."""
        due = self._proxy.wait(round(now * 1000))
        pauses = [] if due is None else [due / 1000]
        if self._task is not None and not self._task.offered:
            pauses.append(max(0.0, self._task.until - now))
        return min(pauses, default=None)

    def hear(self, event: DeviceEvent) -> None:
        """See `Front`."""
        device, task = event.device, self._task
        if isinstance(event, Summed):
            self._hear_sum(event)
            return
        if isinstance(event, Refused | Lost):
            self._tell(f"device {device:016x}: {event.reason}")
        if task is None or not task.awaits(device):
            return
        match event:
            case Arrived() if event.round == task.terms.round:
                try:
                    self._custody.keep(device, task.terms, event.update.blob)
                except StoreError as error:
                    self._tell(f"{error.what}: device {device:016x} keeps its update")
                self._count(task, device, event.update)
                self._tell(f"device {device:016x}: the update of round {event.round} is here")
            case Spoiled() if event.round == task.terms.round:
                task.entries[device] = Entry(device, Fate.SPOILED)
                self._boards.session(device).receipt(event.round, Verdict.REFUSED)
                self._tell(f"device {device:016x}: {event.reason}")
            case Unable() if event.round == task.terms.round:
                task.entries[device] = Entry(device, Fate.UNABLE)
                self._tell(f"device {device:016x}: {event.reason}")
            case Refused() | Lost():
                task.lost.add(device)
            case Joined():
                task.lost.discard(device)
            case _:
                pass

    def _hear_sum(self, event: Summed) -> None:
        """A gateway below has answered for its boards."""
        task, below = self._task, self._boards.session(event.device)
        if task is None or task.offered or event.round != task.terms.round:
            return
        entries = event.found.entries
        try:
            strange = [entry.device for entry in entries if not task.awaits(entry.device)]
            if strange:
                raise WireError(f"a sum with device {strange[0]:016x}, which was not asked")
            part = part_of(self._layout, self._strategy, event.found, trained=task.trains)
            task.total.merge(part)
        except FleetgradError as error:
            self._tell(f"gateway {event.device:016x}: {error.what}")
            for device in filter(task.awaits, event.boards):
                task.entries[device] = Entry(device, Fate.SPOILED)
            below.receipt(event.round, Verdict.REFUSED)
            return
        task.entries.update((entry.device, entry) for entry in entries)
        task.below.add(event.device)
        self._tell(f"gateway {event.device:016x}: the sum of round {event.round} is here")

    def _from_host(self, event: ProxyEvent) -> None:
        match event:
            case Wanted():
                try:
                    order = Order.unpack(event.vector)
                except FleetgradError as error:
                    self._tell(f"round {event.terms.round}: {error.what}")
                    self._proxy.refuse(ErrorCode.BAD_MESSAGE)
                    return
                self._begin(event.terms, order)
            case Settled():
                self._tell(f"round {event.round} is settled: {event.verdict.name.lower()}")
                self._end(event.round, event.verdict)
            case Called():
                self._end(event.round, None)

    def _begin(self, terms: RoundOpen, order: Order) -> None:
        vector = order.vector
        terms = replace(terms, blob_bytes=len(vector), blob_crc=zlib.crc32(vector))
        total = PartialSum.empty(self._layout, self._strategy.numbers, self._fold)
        until = time.monotonic() + order.wait_ms / 1000
        self._boards.allow(_SHARE * order.wait_ms / 1000)
        self._task = task = Task(terms, order, until, total)
        self._tell(f"round {terms.round} goes down to {len(order.boards)} boards")
        for device in order.boards:
            held = self._held(device)
            if held is not None and held[0] == terms:
                update = read_update(held[1], self._layout.shape, terms.work)
                self._count(task, device, update)
            elif device in self._boards:
                self._ask(task, device)

    def _held(self, device: int) -> tuple[RoundOpen, bytes] | None:
        try:
            return self._custody.find(device)
        except StoreError as error:
            self._tell(f"device {device:016x}: {error.what}; it is asked again")
            self._custody.drop(device)
            return None

    def _ask(self, task: Task, device: int) -> None:
        """Gives a board the round's work, unless it is at it; a gateway's sum is made anew."""
        session = self._boards.session(device)
        if self._asked.get(device) != task.terms or isinstance(session, BoardSession):
            self._asked[device] = task.terms
            session.open_round(task.terms, task.order.vector, time.monotonic())

    def _count(self, task: Task, device: int, update: Update) -> None:
        facts = Facts.of(update)
        digest = hashlib.sha256(update.blob).digest()
        if task.trains and (reason := self._strategy.refusal(update, self._layout)):
            self._tell(f"device {device:016x}: {reason}")
            task.entries[device] = Entry(device, Fate.UNFIT)
            return
        try:
            if task.trains:
                task.total.add(device, update, self._strategy.weigh(facts), digest)
            else:
                task.total.count_in(device, update, digest)
        except RoundError as error:
            self._tell(f"device {device:016x}: {error.what}")
            task.entries[device] = Entry(device, Fate.UNFIT)
            return
        task.entries[device] = Entry(
            device,
            Fate.COUNTED,
            facts.samples,
            facts.eval_samples,
            facts.eval_correct,
            facts.eval_loss,
            facts.train_loss,
            digest,
            facts.exponents,
        )

    def _offer(self, task: Task) -> None:
        """Sends what is there."""
        for device in task.order.boards:
            if device not in task.entries:
                fate = Fate.LOST if device in task.lost else Fate.SILENT
                task.entries[device] = Entry(device, fate)
        segments = len(self._layout.segments) if task.trains else 0
        entries = [
            e if e.fate is Fate.COUNTED else replace(e, exponents=bytes(segments))
            for e in task.entries.values()
        ]
        part = task.total.to_bytes(whole=task.trains)
        task.offered = True
        self._proxy.offer(write_sum(task.terms.round, task.terms.version_tag, entries, part))
        self._tell(f"the sum of {task.total.count} updates of round {task.terms.round} goes up")

    def _end(self, number: int, verdict: Verdict | None) -> None:
        """The round is over for the boards; without a verdict it was called off."""
        task, self._task = self._task, None
        if task is None or task.terms.round != number:
            return
        for gateway in task.below:
            self._boards.session(gateway).receipt(number, verdict or Verdict.STALE)
        if verdict is Verdict.REFUSED:
            return  # what is refused as a sum may be wanted again in another one
        for device in task.order.boards:
            self._asked.pop(device, None)
            self._custody.drop(device)
            if device not in self._boards:
                continue
            session = self._boards.session(device)
            entry = task.entries.get(device)
            if verdict is not None and entry is not None and entry.fate is Fate.COUNTED:
                session.receipt(number, verdict)
            else:
                session.abandon_round()
