# SPDX-License-Identifier: Apache-2.0
"""The host's end of a gateway that sums: one conversation that stands for many boards."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fleetgrad.device.checks import Expected, boast
from fleetgrad.device.events import (
    DeviceEvent,
    Joined,
    Lost,
    Printed,
    Rebooted,
    Refused,
    Spoiled,
    Summed,
    Unable,
)
from fleetgrad.device.session import DeviceSession
from fleetgrad.device.sums import Board, Order, SumBlob, SumShape
from fleetgrad.device.update import Shape
from fleetgrad.wire.messages import RoundOpen, Verdict


class GatewaySession:
    """One gateway; it takes bytes and time as a `DeviceSession`, and tells of boards.

    Args:
        session: With the gateway as a device.
        expected: Who it must be; the shape is that of a single board's update.
        boards: Those of the run that are behind it.
        numbers: How many weights the strategy sums.
        wait_s: How long the gateway may wait for its boards in a round.
    """

    def __init__(
        self,
        session: DeviceSession,
        expected: Expected,
        boards: Sequence[Board],
        *,
        numbers: int,
        wait_s: float,
    ) -> None:
        assert isinstance(expected.shape, Shape)
        self._session = session
        self._shape = expected.shape
        self._boards = {board.device: board for board in boards}
        self._numbers = numbers
        self._wait_ms = round(1000 * wait_s)
        self._wanted: set[int] = set()
        self._terms: RoundOpen | None = None
        self._vector = b""
        self._fresh = False  # what is wanted has changed since it was said

    @property
    def device(self) -> int:
        """Id of the gateway."""
        return self._session.device

    @property
    def boards(self) -> tuple[int, ...]:
        """Ids of the boards behind it."""
        return tuple(self._boards)

    @property
    def bytes_in(self) -> int:
        """From the gateway."""
        return self._session.bytes_in

    @property
    def bytes_out(self) -> int:
        """To the gateway."""
        return self._session.bytes_out

    @property
    def uploading(self) -> int:
        """See `DeviceSession.uploading`."""
        return self._session.uploading

    @property
    def may_upload(self) -> bool:
        """See `DeviceSession.may_upload`."""
        return self._session.may_upload

    def hold(self, now: float) -> None:
        """See `DeviceSession.hold`."""
        self._session.hold(now)

    def know(self, boards: Sequence[Board]) -> list[DeviceEvent]:
        """Takes boards that the gateway has told of since; they join if it has joined."""
        fresh = [board for board in boards if board.device not in self._boards]
        self._boards.update((board.device, board) for board in fresh)
        if not self._session.ready:
            return []
        return [Joined(b.device, b.train_samples, b.eval_samples, 0, 0) for b in fresh]

    @property
    def wait_s(self) -> float:
        """How long the gateway may wait for its boards in a round."""
        return self._wait_ms / 1000

    @wait_s.setter
    def wait_s(self, seconds: float) -> None:
        self._wait_ms = round(1000 * seconds)

    def passed_over(self) -> str:
        """See `DeviceSession.passed_over`."""
        return self._session.passed_over()

    def board(self, device: int) -> "BoardSession":
        """A board's part of the conversation."""
        return BoardSession(self, device)

    def receive(self, data: bytes, now: float) -> list[DeviceEvent]:
        """See `DeviceSession.receive`."""
        return self._tell(self._session.receive(data, now))

    def tick(self, now: float) -> list[DeviceEvent]:
        """See `DeviceSession.tick`."""
        return self._tell(self._session.tick(now))

    def hang_up(self, reason: str) -> list[DeviceEvent]:
        """See `DeviceSession.hang_up`."""
        return self._tell(self._session.hang_up(reason))

    def wait(self, now: float) -> float | None:
        """See `DeviceSession.wait`."""
        return 0.0 if self._fresh else self._session.wait(now)

    def take(self, now: float) -> bytes:
        """See `DeviceSession.take`."""
        if self._fresh and self._wanted:
            assert self._terms is not None
            boards = tuple(sorted(self._wanted))
            order = Order(boards, self._wait_ms, self._vector).pack()
            terms = replace(self._terms, blob_bytes=len(order), blob_crc=zlib.crc32(order))
            shape = SumShape(self._shape, len(boards), self._numbers)
            self._session.open_round(terms, order, now, shape)
        self._fresh = False
        return self._session.take(now)

    def want(self, device: int, terms: RoundOpen, vector: bytes) -> None:
        """Asks for a board's work; all that are asked for at a time go in one order."""
        if self._terms is None or terms.round != self._terms.round:
            self._wanted.clear()
        self._terms, self._vector = terms, vector
        self._wanted.add(device)
        self._fresh = True

    def let_go(self, device: int) -> None:
        """A board's work is not wanted any more."""
        self._wanted.discard(device)
        if not self._wanted:
            self._fresh = False
            self._session.abandon_round()

    def receipt(self, number: int, verdict: Verdict) -> None:
        """Tells the gateway what became of its sum."""
        if self._terms is not None and number == self._terms.round:
            self._wanted.clear()
        self._session.receipt(number, verdict)

    def _tell(self, events: Sequence[DeviceEvent]) -> list[DeviceEvent]:
        """What an event of the gateway means for its boards."""
        told: list[DeviceEvent] = []
        for event in events:
            match event:
                case Joined():
                    told += [
                        Joined(b.device, b.train_samples, b.eval_samples, 0, event.boots)
                        for b in self._boards.values()
                    ]
                case Lost():
                    told += [Lost(d, f"its gateway: {event.reason}") for d in self._boards]
                case Refused():
                    told += [
                        Refused(d, event.code, f"its gateway: {event.reason}") for d in self._boards
                    ]
                case Unable():
                    told += [Unable(d, event.round, event.reason) for d in sorted(self._wanted)]
                case Spoiled():
                    told += self._spoiled(event.round, event.reason, event.blob)
                case Summed() if claim := self._boast(event.found):
                    told += self._spoiled(event.round, claim, event.found.blob)
                case Summed():
                    told.append(replace(event, boards=tuple(sorted(self._wanted))))
                case Printed():
                    told.append(event)
                case Rebooted():
                    pass  # its boards have not
                case _:
                    told.append(event)
        return told

    def _spoiled(self, number: int, reason: str, blob: bytes) -> list[DeviceEvent]:
        boards = sorted(self._wanted)
        self.receipt(number, Verdict.REFUSED)
        return [Spoiled(device, number, f"its gateway: {reason}", blob) for device in boards]

    def _boast(self, found: SumBlob) -> str:
        """Says which samples a sum claims that its boards do not have; empty when none."""
        claims = (
            boast(entry, self._boards[entry.device])
            for entry in found.entries
            if entry.device in self._boards
        )
        return next((claim for claim in claims if claim), "")


@dataclass(frozen=True, slots=True)
class BoardSession:
    """What the loop says to a board, or to the gateway itself, where that sums."""

    gateway: GatewaySession
    device: int

    def open_round(self, terms: RoundOpen, blob: bytes, now: float) -> None:
        """See `DeviceSession.open_round`."""
        del now
        self.gateway.want(self.device, terms, blob)

    def abandon_round(self) -> None:
        """See `DeviceSession.abandon_round`."""
        self.gateway.let_go(self.device)

    def receipt(self, number: int, verdict: Verdict) -> None:
        """The gateway is told of its sum as a whole, and tells its boards."""
        if self.device == self.gateway.device:
            self.gateway.receipt(number, verdict)
