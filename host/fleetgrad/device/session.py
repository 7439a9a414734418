# SPDX-License-Identifier: Apache-2.0
"""The host's end of one device: greets it, checks it, feeds it rounds, notices when it is gone."""

from collections import Counter
from dataclasses import dataclass

from fleetgrad.device.checks import UNABLE, Expected, boast, check
from fleetgrad.device.events import (
    Arrived,
    DeviceEvent,
    Joined,
    Lost,
    Printed,
    Rebooted,
    Spoiled,
    Summed,
    Unable,
)
from fleetgrad.device.exchange import Exchange
from fleetgrad.device.sums import SumBlob, SumShape
from fleetgrad.errors import FleetgradError
from fleetgrad.wire.errors import MessageError, TransferError
from fleetgrad.wire.framing import DELIMITER, FrameDecoder, Noise, encode_message
from fleetgrad.wire.messages import (
    PAYLOAD_DEFAULT,
    PAYLOAD_MAX,
    SCHEMA_HASH,
    WIRE_VERSION,
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
from fleetgrad.wire.transfer import transfer_id


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        listen: For the device's own HELLO after connecting, before asking for it.
        answer: For the answer to HELLO_REQUEST, before asking again; doubles up to ``silence``.
        silence: Without a byte, before asking a working device whether it is alive.
        gone: Without a byte, until it counts as lost.
    """

    listen: float = 0.3
    answer: float = 1.0
    silence: float = 5.0
    gone: float = 20.0


class DeviceSession:
    """One device. Bytes and time come in as arguments, events come back; no I/O, no clock.

    Args:
        expected: Who must answer.
        session: Session id, 1 .. 2^32-1, never used with this device before.
        now: Seconds, of any clock that only goes forward.
        patience: How long to wait.
        max_payload: Largest payload this host takes.
    """

    def __init__(
        self,
        expected: Expected,
        session: int,
        now: float,
        patience: Patience | None = None,
        max_payload: int = PAYLOAD_MAX,
    ) -> None:
        self._expected = expected
        self._session = session
        self._patience = patience or Patience()
        self._max_payload = max_payload
        self._decoder = FrameDecoder()
        self._out = bytearray(DELIMITER)
        self._seq = 0
        self._heard = self._connected = now
        self._probed: float | None = None
        self._greet_at: float | None = now + self._patience.listen
        self._greet_wait = self._patience.answer
        self._hello: Hello | None = None
        self._boots: int | None = None
        self._refused = False
        self._lost = False
        self._gone = False
        self._payload = PAYLOAD_DEFAULT
        self._exchange: Exchange | None = None
        self.bytes_in = 0
        self.bytes_out = len(self._out)
        self._ignored: Counter[str] = Counter()

    @property
    def device(self) -> int:
        """Id of the device that is expected here."""
        return self._expected.device

    def passed_over(self) -> str:
        """What came since the last call and means nothing here, in words; empty for nothing."""
        told = ", ".join(f"{what} ({count})" for what, count in sorted(self._ignored.items()))
        count = self._ignored.total()
        self._ignored.clear()
        return f"{count} frames passed over: {told}" if count else ""

    @property
    def ready(self) -> bool:
        """The device has joined and is not lost."""
        return self._hello is not None and not self._refused and not self._lost

    @property
    def uploading(self) -> int:
        """Bytes of an update that has begun to come and is not here yet; 0 when none has."""
        return self._exchange.uploading if self._exchange and self.ready else 0

    @property
    def may_upload(self) -> bool:
        """Whether the next bytes may be the first of an update."""
        return self._exchange is not None and self.ready and self._exchange.may_upload

    def hold(self, now: float) -> None:
        """The device has spoken, and nobody has listened yet: that is no silence of its."""
        self._heard = now
        self._probed = None

    def receive(self, data: bytes, now: float) -> list[DeviceEvent]:
        """Takes bytes from the link, in any pieces."""
        self.bytes_in += len(data)
        events: list[DeviceEvent] = []
        for item in self._decoder.feed(data):
            if isinstance(item, Noise):
                if text := _printable(item.data):
                    events.append(Printed(self.device, text))
                else:
                    self._ignored[str(item.reason)] += 1
                continue
            try:
                message = item.message()
            except MessageError:
                self._ignored["a message that is none"] += 1
                continue
            events += self._handle(message, item.session, now)
        return events

    def tick(self, now: float) -> list[DeviceEvent]:
        """Lets time pass: repeats what was not answered, and gives up on silence."""
        if self._refused:
            return []
        if self._greet_at is not None and now >= self._greet_at:
            self._greet(now)
        if not (self._working or self._greet_at is not None) or self._lost:
            return []
        silent = now - self._heard
        if silent >= self._patience.gone:
            self._lost = True
            self._probed = None
            if self._greet_at is None:  # it may come back unnoticed: go on asking, now and then
                self._greet_at = now + self._patience.silence
            what = "no answer" if self._hello else "it never answered"
            return [Lost(self.device, f"{what} for {silent:.0f} s")]
        if self._hello and self._working and now >= self._next_probe():
            self._probed = now
            self._send(StatusRequest())
        return []

    def wait(self, now: float) -> float | None:
        """Seconds until :meth:`tick` or :meth:`take` has something to do; None: only bytes help."""
        if self._refused:
            return None
        times = []
        if self._greet_at is not None:
            times.append(self._greet_at - now)
        if not self._lost and (self._working or self._greet_at is not None):
            times.append(self._heard + self._patience.gone - now)
            if self._hello:
                times.append(self._next_probe() - now)
        if self.ready and self._exchange:
            pause = self._exchange.wait(round(now * 1000))
            if pause is not None:
                times.append(pause / 1000)
        return max(0.0, min(times)) if times else None

    def take(self, now: float) -> bytes:
        """Bytes to send now. Call it only when the link has taken the last ones."""
        if self.ready and self._exchange and not self._out:
            message = self._exchange.poll(round(now * 1000))
            if message is not None:
                self._send(message)
        data = bytes(self._out)
        self._out.clear()
        return data

    def open_round(
        self, terms: RoundOpen, blob: bytes, now: float, shape: SumShape | None = None
    ) -> None:
        """Starts a round; the one before, if any, is forgotten.

        Args:
            terms: The round's terms.
            blob: The parameter vector, or the order of a gateway that sums.
            now: Seconds.
            shape: What such a gateway answers.
        """
        self._exchange = Exchange(terms, blob, shape or self._expected.shape, self._payload)
        self._heard = now
        self._probed = None
        if self._lost and not self._gone:  # another chance
            self._lost = False
            self._greet_anew(now)

    def abandon_round(self) -> None:
        """Nothing more is expected of the present round; the device may drop it."""
        if self._exchange and not self._exchange.finished:
            self._send(Abort(self._exchange.terms.round))
        self._exchange = None

    def receipt(self, number: int, verdict: Verdict) -> None:
        """Tells the device what became of its update."""
        self._send(Receipt(number, verdict))

    def hang_up(self, reason: str) -> list[DeviceEvent]:
        """The link is gone for good."""
        told = self._refused or self._lost
        self._lost = self._gone = True
        self._greet_at = None
        return [] if told else [Lost(self.device, reason)]

    @property
    def _working(self) -> bool:
        return self._exchange is not None and not self._exchange.finished

    def _next_probe(self) -> float:
        return max(self._heard, self._probed or 0.0) + self._patience.silence

    def _send(self, message: Message) -> None:
        frame = encode_message(message, self._session, self._seq)
        self._out += frame
        self.bytes_out += len(frame)
        self._seq = (self._seq + 1) & 0xFFFF

    def _greet(self, now: float) -> None:
        request = HelloRequest(WIRE_VERSION, WIRE_VERSION, self._max_payload, SCHEMA_HASH)
        self._send(request)
        self._greet_at = now + self._greet_wait
        self._greet_wait = min(2 * self._greet_wait, self._patience.silence)

    def _greet_anew(self, now: float) -> None:
        self._hello = None
        self._greet_wait = self._patience.answer
        self._greet(now)

    def _handle(self, message: Message, session: int, now: float) -> list[DeviceEvent]:
        if self._refused:
            return []
        if isinstance(message, Hello):
            if session == self._session:
                return self._greeted(message, now)
            return self._announced(message, session, now)
        if isinstance(message, Error) and message.code == ErrorCode.NO_SESSION:
            self._alive(now)
            if self._hello:  # it forgot us without a word: the HELLO of its boot was lost
                self._greet_anew(now)
            return []
        if session != self._session or not self._hello:
            self._ignored["a session that is not this one"] += 1
            return []
        events = self._alive(now)
        match message:
            case Ack():
                if self._exchange:
                    self._exchange.acknowledged(message)
            case Chunk():
                events += self._chunk(message)
            case Status():
                self._status(message)
            case Error():
                events += self._error(message)
            case _:
                self._ignored["a message that is not for a host"] += 1
        return events

    def _alive(self, now: float) -> list[DeviceEvent]:
        """A lost device that is heard again in its session simply goes on."""
        self._heard = now
        self._probed = None
        if not self._lost or not self._hello:
            return []
        self._lost = False
        self._greet_at = None
        return [self._joined(self._hello)]

    def _announced(self, hello: Hello, session: int, now: float) -> list[DeviceEvent]:
        """The HELLO that a device sends by itself when it starts."""
        if session != 0:
            self._ignored["a session that is not this one"] += 1
            return []
        events: list[DeviceEvent] = []
        self._heard = now
        if self._hello and self._boots is not None:
            events.append(Rebooted(self.device, hello.boot_count))
            self._boots = hello.boot_count
        self._greet_anew(now)
        return events

    def _greeted(self, hello: Hello, now: float) -> list[DeviceEvent]:
        """The answer to our HELLO_REQUEST."""
        self._heard = now
        self._probed = None
        self._greet_at = None
        if self._hello == hello and not self._lost:
            return []  # the answer to a repeated request
        if refused := check(hello, self._expected):
            self._refused = True
            self._exchange = None
            return [refused]
        events: list[DeviceEvent] = []
        if self._boots is not None and hello.boot_count != self._boots:
            events.append(Rebooted(self.device, hello.boot_count))
        self._boots = hello.boot_count
        self._hello = hello
        self._lost = False
        self._payload = min(self._max_payload, hello.max_payload)
        if self._exchange:
            self._exchange.rejoin(hello)
        return [*events, self._joined(hello)]

    def _joined(self, hello: Hello) -> Joined:
        return Joined(
            device=self.device,
            train_samples=hello.train_samples,
            eval_samples=hello.eval_samples,
            holds_round=hello.round if hello.update_crc else 0,
            boots=hello.boot_count,
            holds_version=hello.version_tag,
        )

    def _chunk(self, chunk: Chunk) -> list[DeviceEvent]:
        exchange = self._exchange
        if exchange is None:
            self._ignored["an update of a round that is closed"] += 1
            return []
        try:
            ack, blob = exchange.accept(chunk)
        except TransferError:
            same = chunk.transfer == transfer_id(exchange.terms.round)
            what = "a chunk beyond its update's end" if same else "an update of another round"
            self._ignored[what] += 1
            return []
        if ack is not None:
            self._send(ack)
        if blob is None or self._hello is None:
            return []
        exchange.finish()
        number = exchange.terms.round
        try:
            update = exchange.read(blob)
        except FleetgradError as error:
            return [Spoiled(self.device, number, error.what, blob)]
        if isinstance(update, SumBlob):
            return [Summed(self.device, number, (), update)]
        if claim := boast(update, self._hello):
            return [Spoiled(self.device, number, claim, blob)]
        return [Arrived(self.device, number, update)]

    def _status(self, status: Status) -> None:
        """A living device that is not at our round, or has nothing left to do, needs the terms."""
        if not self._exchange or self._exchange.finished:
            return
        if status.round != self._exchange.terms.round:
            self._exchange.anew()
        elif status.phase in (Phase.IDLE, Phase.DONE):
            self._exchange.announce()

    def _error(self, error: Error) -> list[DeviceEvent]:
        exchange = self._exchange
        if not exchange or exchange.finished:
            return []
        number = exchange.terms.round
        of_round = error.message_id in (RoundOpen.ID, Chunk.ID)
        if error.code == ErrorCode.BUSY:
            self._send(Abort(error.detail))
            exchange.announce()
        elif error.code == ErrorCode.WRONG_ROUND and not exchange.delivered:
            exchange.resend()
        elif error.code == ErrorCode.BAD_DIGEST:
            if exchange.restart():
                return []
            exchange.finish()
            return [Unable(self.device, number, "the parameters arrive damaged again and again")]
        elif error.code in UNABLE and of_round:
            if error.code == ErrorCode.BAD_MESSAGE and error.message_id != RoundOpen.ID:
                return []
            exchange.finish()
            return [Unable(self.device, number, UNABLE[ErrorCode(error.code)])]
        return []


def _printable(data: bytes) -> str:
    """Text between frames, or nothing where most of it is no text."""
    text = "".join(c for c in data.decode("ascii", "replace") if c.isprintable())
    return text if len(text) * 4 > len(data) * 3 and "\ufffd" not in text else ""
