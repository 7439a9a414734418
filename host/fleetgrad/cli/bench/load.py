# SPDX-License-Identifier: Apache-2.0
"""A load of devices at a broker: many of them on one connection, which compute nothing.

A process of its own, whose argument is a `Job` as JSON; the seconds of every round's uploads go to
stdout. It speaks MQTT 5 by itself, to cost the machine under test as little as possible.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
import zlib
from dataclasses import asdict, dataclass, field

from fleetgrad.wire import topics
from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import (
    SCHEMA_HASH,
    WIRE_VERSION,
    Ack,
    Chunk,
    Hello,
    HelloRequest,
    Message,
    Receipt,
    RoundOpen,
    UpdateHeader,
    Work,
)
from fleetgrad.wire.transfer import WINDOW, transfer_id

_IMPATIENCE_S = 3.0  # without a receipt: the update is sent again
_PIECE = 1 << 18
_NO_UPDATE = b"\0" * UpdateHeader.BYTES


@dataclass(frozen=True)
class Job:
    """What the load is.

    Attributes:
        port: Of a broker on this machine.
        fleet: Its name.
        devices: How many.
        digest: First 8 bytes of the bundle's digest, hex.
        segments: Element counts of the bundle's segments.
        payload: The largest payload that devices take.
        at_once: Updates under way at a time.
    """

    port: int
    fleet: str
    devices: int
    digest: str
    segments: tuple[int, ...]
    payload: int
    at_once: int

    def text(self) -> str:
        """As `main` takes it."""
        return json.dumps(asdict(self))


@dataclass
class Device:
    """One device of the load."""

    number: int
    session: int = 0
    payload: int = 0
    terms: RoundOpen | None = None
    received: int = 0
    update: bytes = b""
    sent_at: float = 0.0
    decoder: FrameDecoder = field(default_factory=FrameDecoder)


class Broker:
    """One connection of a client that knows just enough of MQTT 5."""

    def __init__(self, port: int, fleet: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._in = bytearray()
        self._out = bytearray()
        self._next_id = 0
        client = b"load"
        properties = b"\x21" + struct.pack(">H", 20000)  # receive maximum
        body = b"\0\4MQTT\5\2" + struct.pack(">H", 0) + bytes((len(properties),)) + properties
        self._socket.sendall(_packet(0x10, body + struct.pack(">H", len(client)) + client))
        wanted = topics.every(fleet, "dn").encode()
        self._out += _packet(0x82, b"\0\1\0" + struct.pack(">H", len(wanted)) + wanted + b"\1")
        self._socket.setblocking(False)

    def publish(self, topic: bytes, data: bytes, *, retain: bool = False) -> None:
        """Queues a record with QoS 1."""
        self._next_id = self._next_id % 60000 + 2
        head = struct.pack(">H", len(topic)) + topic + struct.pack(">HB", self._next_id, 0)
        self._out += _packet(0x33 if retain else 0x32, head + data)

    def turn(self, wait: float) -> list[tuple[str, bytes]]:
        """Sends, waits, and gives back what has come."""
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                break
            del self._out[:sent]
        want = [self._socket] if self._out else []
        ready, _, _ = select.select([self._socket], want, [], wait)
        if ready:
            data = self._socket.recv(_PIECE)
            if not data:
                raise SystemExit("the broker closed the connection")
            self._in += data
        return self._records()

    def _records(self) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        data, at = bytes(self._in), 0
        while at + 2 <= len(data):
            length, shift, body = 0, 0, at + 1
            while body < len(data):
                length |= (data[body] & 0x7F) << shift
                shift += 7
                body += 1
                if data[body - 1] < 0x80:
                    break
            else:
                break
            end = body + length
            if end > len(data):
                break
            if data[at] & 0xF0 == 0x30:
                size = int.from_bytes(data[body : body + 2], "big")
                name = data[body + 2 : body + 2 + size].decode()
                start = body + 2 + size + 2
                self._out += b"\x40\x02" + data[start - 2 : start]
                found.append((name, data[start + 1 + data[start] : end]))
            at = end
        del self._in[:at]
        return found


def _packet(kind: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, low = size >> 7, size & 0x7F
        length += bytes((low | (0x80 if size else 0),))
        if not size:
            return bytes((kind,)) + length + body


class Load:
    """All devices.

    Args:
        job: What they are.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._broker = Broker(job.port, job.fleet)
        self._devices = {number: Device(number) for number in range(1, job.devices + 1)}
        self._ready: dict[int, Device] = {}
        self._waiting: dict[int, Device] = {}
        self._done = 0

    def run(self) -> None:
        """Serves until the closing evaluation is over."""
        for number in self._devices:
            self._publish(number, "presence", encode_message(self._hello(number), 0, 0), True)
        while not self._round():
            pass
        while self._broker.turn(0.5):  # the broker must hear of what was acknowledged
            pass

    def _round(self) -> bool:
        """One round: waits until every device has its terms, then uploads, and takes the time."""
        self._done = 0
        while len(self._ready) < len(self._devices):
            for name, data in self._broker.turn(1.0):
                self._take(name, data)
        queue = list(self._ready.values())
        records = {device.number: self._update_records(device) for device in queue}
        self._ready = {}
        terms = queue[0].terms
        assert terms is not None
        started = time.monotonic()
        while self._done < len(self._devices):
            while queue and len(self._waiting) < self._job.at_once:
                self._upload(queue.pop(), records)
            for name, data in self._broker.turn(0.2):
                self._take_receipt(name, data)
            late = time.monotonic() - _IMPATIENCE_S
            for device in [d for d in self._waiting.values() if d.sent_at < late]:
                self._upload(device, records)
        train = bool(terms.work & Work.TRAIN)
        took = time.monotonic() - started
        print(json.dumps({"round": terms.round, "train": train, "seconds": took}), flush=True)
        return not train

    def _upload(self, device: Device, records: dict[int, list[bytes]]) -> None:
        device.sent_at = time.monotonic()
        self._waiting[device.number] = device
        for record in records[device.number]:
            self._publish(device.number, "up", record)

    def _take_receipt(self, name: str, data: bytes) -> None:
        found = topics.device_of(name)
        if found is None or found[0] not in self._waiting:
            self._take(name, data)  # of the round that follows
            return
        for frame in data.split(DELIMITER):
            kind = frame[2] if len(frame) > 2 else 0  # no zero comes before it: it is not stuffed
            if kind == Receipt.ID and found[0] in self._waiting:
                self._waiting.pop(found[0]).terms = None
                self._ready.pop(found[0], None)  # what came twice has said so too early
                self._done += 1
            elif kind not in {Ack.ID, 0}:
                self._take(name, frame + DELIMITER)

    def _take(self, name: str, data: bytes) -> None:
        found = topics.device_of(name)
        assert found is not None
        device = self._devices[found[0]]
        for item in device.decoder.feed(data):
            if isinstance(item, Frame):
                try:
                    self._handle(device, item.message(), item.session)
                except MessageError:
                    continue

    def _handle(self, device: Device, message: Message, session: int) -> None:
        match message:
            case HelloRequest():
                device.session = session
                device.payload = min(message.max_payload, self._job.payload)
                self._say(device, self._hello(device.number))
            case RoundOpen():
                if device.terms != message:
                    device.terms, device.received = message, 0
            case Chunk() if device.terms is not None:
                if message.offset == device.received:
                    device.received += len(message.data)
                whole = device.received == device.terms.blob_bytes
                if whole:
                    self._ready[device.number] = device
                if whole or device.received % (WINDOW * (device.payload - Chunk.BYTES)) == 0:
                    self._say(device, Ack(message.transfer, device.received))
            case _:
                pass

    def _update_records(self, device: Device) -> list[bytes]:
        """The device's update for the terms that it has, in records."""
        terms = device.terms
        assert terms is not None
        body = b""
        if terms.work & Work.TRAIN:
            counts = self._job.segments
            value = (device.number * 7 + terms.round) % 100
            body = bytes(len(counts)) + bytes((value,)) * sum(counts) + bytes(len(counts))
        held = (10, 2, 1, 100, 100) if terms.work & Work.TRAIN else (0, 2, 1, 100, 0)
        tail = UpdateHeader(0, terms.round, terms.version_tag, *held).pack()[4:] + body
        update = struct.pack("<I", zlib.crc32(tail)) + tail
        size = device.payload - Chunk.BYTES
        transfer = transfer_id(terms.round)
        return [
            encode_message(Chunk(transfer, at, update[at : at + size]), device.session, 0)
            for at in range(0, len(update), size)
        ]

    def _hello(self, number: int) -> Hello:
        return Hello(
            version_min=WIRE_VERSION,
            version_max=WIRE_VERSION,
            max_payload=self._job.payload,
            schema_hash=SCHEMA_HASH,
            device_id=number,
            model_digest=bytes.fromhex(self._job.digest),
            firmware_hash=0,
            boot_count=1,
            train_samples=10,
            eval_samples=2,
            round=0,
            problem=0,
            version_tag=0,
            update_crc=0,
            store_bytes=0,
            store_erases=0,
        )

    def _say(self, device: Device, message: Message) -> None:
        self._publish(device.number, "up", encode_message(message, device.session, 0))

    def _publish(self, number: int, leaf: str, data: bytes, retain: bool = False) -> None:
        name = topics.topic(self._job.fleet, number, leaf).encode()
        self._broker.publish(name, data, retain=retain)


def main() -> None:
    """Runs the job that the command line gives."""
    given = json.loads(sys.argv[1])
    Load(Job(**{**given, "segments": tuple(given["segments"])})).run()
