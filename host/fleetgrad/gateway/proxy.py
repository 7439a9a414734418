# SPDX-License-Identifier: Apache-2.0
"""A board as its host sees it: the device's end of the protocol. Bytes and time in, bytes out.

It makes the decisions of the firmware's session (SPEC.md, "Conversation" and "Device"), and leaves
the work to whoever owns it: the board itself, or an update in custody.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TypeAlias

from fleetgrad.device import Identity, hello_of
from fleetgrad.wire.errors import MessageError, TransferError
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import (
    PAYLOAD_DEFAULT,
    PAYLOAD_MAX,
    Abort,
    Ack,
    Chunk,
    Error,
    ErrorCode,
    Hello,
    HelloRequest,
    Message,
    Phase,
    Receipt,
    RoundOpen,
    Status,
    StatusRequest,
    Verdict,
)
from fleetgrad.wire.transfer import Receiver, Sender, transfer_id


@dataclass(frozen=True)
class Wanted:
    """The host wants a round's work: its terms and parameters are here, whole."""

    terms: RoundOpen
    vector: bytes


@dataclass(frozen=True)
class Settled:
    """The host has decided on the update of a round: it need not be kept any longer."""

    round: int
    verdict: Verdict


@dataclass(frozen=True)
class Called:
    """The host has called a round off."""

    round: int


ProxyEvent: TypeAlias = Wanted | Settled | Called


class Proxy:
    """One board.

    Args:
        identity: Who it is, as it may be changed; its boots are those that the host is to see.
        held: Terms and update of a round that was done before, None for none.
    """

    def __init__(self, identity: Identity, held: tuple[RoundOpen, bytes] | None = None) -> None:
        self.identity = identity
        self._session = 0
        self._round_session = 0
        self._payload = PAYLOAD_DEFAULT
        self._phase = Phase.IDLE
        self._terms: RoundOpen | None = None
        self._receiver: Receiver | None = None
        self._update: bytes | None = None
        self._sender: Sender | None = None
        self._decoder = FrameDecoder()
        self._seq = 0
        self._out = bytearray(DELIMITER)
        if held is not None:
            self._terms, self._update = held
            self._phase = Phase.DONE
        self._send(self._hello())

    @property
    def terms(self) -> RoundOpen | None:
        """Those of the present round, None when there is none."""
        return None if self._phase is Phase.IDLE else self._terms

    def presence(self) -> bytes:
        """The frame that says who is there."""
        return encode_message(self._hello(), 0, 0)

    def receive(self, data: bytes) -> list[ProxyEvent]:
        """Takes bytes from the host."""
        events: list[ProxyEvent] = []
        for item in self._decoder.feed(data):
            if isinstance(item, Frame):
                try:
                    events += self._handle(item, item.message())
                except MessageError:
                    self._refuse(ErrorCode.BAD_MESSAGE, item)
        return events

    def take(self, now_ms: int) -> bytes:
        """Bytes to send now."""
        if self._phase is Phase.SENDING and self._sender and self._is_open():
            while (chunk := self._sender.poll(now_ms)) is not None:
                self._send(chunk)
        data = bytes(self._out)
        self._out.clear()
        return data

    def wait(self, now_ms: int) -> int | None:
        """Milliseconds until :meth:`take` has something without new bytes; None: never."""
        if self._out:
            return 0
        if self._phase is Phase.SENDING and self._sender and self._is_open():
            return self._sender.wait(now_ms)
        return None

    def offer(self, update: bytes) -> None:
        """The present round's update is there."""
        assert self._terms is not None
        self._update = update
        self._begin_sending()

    def refuse(self, code: ErrorCode) -> None:
        """The present round's work cannot be done."""
        self._send(Error(code, RoundOpen.ID, 0))
        self._forget()

    def _is_open(self) -> bool:
        return self._round_session == self._session != 0

    def _begin_sending(self) -> None:
        assert self._terms is not None
        assert self._update is not None
        self._sender = Sender(self._update, transfer_id(self._terms.round), self._payload)
        self._phase = Phase.SENDING

    def _forget(self) -> None:
        self._phase = Phase.IDLE
        self._receiver = self._update = self._sender = None

    def _send(self, message: Message, session: int | None = None) -> None:
        chosen = self._session if session is None else session
        self._out += encode_message(message, chosen, self._seq)
        self._seq = (self._seq + 1) & 0xFFFF

    def _refuse(self, code: ErrorCode, frame: Frame, detail: int = 0) -> None:
        self._send(Error(code, frame.type, detail), frame.session)

    def _hello(self) -> Hello:
        hello = hello_of(self.identity)
        if self._update is None or self._terms is None:
            return hello
        crc = int.from_bytes(self._update[:4], "little")
        tag = self._terms.version_tag
        return replace(hello, round=self._terms.round, version_tag=tag, update_crc=crc)

    def _handle(self, frame: Frame, message: Message) -> list[ProxyEvent]:
        if isinstance(message, HelloRequest):
            self._session = frame.session
            self._payload = min(message.max_payload, PAYLOAD_MAX)
            self._send(self._hello())
            return []
        if frame.session == 0 or frame.session != self._session:
            self._refuse(ErrorCode.NO_SESSION, frame, self._session)
            return []
        match message:
            case StatusRequest():
                self._tell_status()
            case RoundOpen():
                return self._open_round(message)
            case Chunk():
                return self._chunk(message, frame)
            case Ack():
                self._acknowledged(message)
            case Receipt() if self._is_of_round(message.round):
                self._forget()
                return [Settled(message.round, Verdict(message.verdict))]
            case Abort() if self._is_of_round(message.round):
                self._forget()
                return [Called(message.round)]
            case _:
                pass
        return []

    def _is_of_round(self, number: int) -> bool:
        terms = self.terms
        return terms is not None and terms.round == number

    def _tell_status(self) -> None:
        number = self._terms.round if self._terms else 0
        offset = self._receiver.next_offset if self._receiver else 0
        self._send(Status(self._phase, number, offset, 0, self._decoder.frames_bad))

    def _open_round(self, terms: RoundOpen) -> list[ProxyEvent]:
        if self.terms == terms:
            anew = self._round_session != self._session
            self._round_session = self._session
            total = terms.blob_bytes
            received = self._receiver.next_offset if self._receiver else total
            self._send(Ack(transfer_id(terms.round), received))
            if self._update is not None:
                if anew or self._sender is None or self._sender.done:
                    self._begin_sending()
                self._phase = Phase.SENDING
            return []
        self._forget()
        self._terms = terms
        self._round_session = self._session
        self._receiver = Receiver(transfer_id(terms.round), terms.blob_bytes)
        self._phase = Phase.RECEIVING
        return self._completed() if terms.blob_bytes == 0 else []

    def _chunk(self, chunk: Chunk, frame: Frame) -> list[ProxyEvent]:
        terms = self.terms
        if terms is None or chunk.transfer != transfer_id(terms.round):
            self._refuse(ErrorCode.WRONG_ROUND, frame, terms.round if terms else 0)
            return []
        if self._receiver is None:  # an update in custody: nothing more is needed for it
            self._send(Ack(chunk.transfer, terms.blob_bytes))
            return []
        try:
            received = self._receiver.accept(chunk)
        except TransferError:
            self._refuse(ErrorCode.BAD_MESSAGE, frame)
            return []
        if received.complete and zlib.crc32(self._receiver.data) != terms.blob_crc:
            self._refuse(ErrorCode.BAD_DIGEST, frame)
            self._receiver = Receiver(transfer_id(terms.round), terms.blob_bytes)
            return []
        if received.ack is not None:
            self._send(received.ack)
        return self._completed() if received.complete else []

    def _completed(self) -> list[ProxyEvent]:
        assert self._terms is not None
        assert self._receiver is not None
        self._phase = Phase.TRAINING
        return [Wanted(self._terms, self._receiver.data)]

    def _acknowledged(self, ack: Ack) -> None:
        if self._sender is None or self._phase is not Phase.SENDING:
            return
        try:
            self._sender.acknowledge(ack)
        except TransferError:
            return
        if self._sender.done:
            self._phase = Phase.DONE
