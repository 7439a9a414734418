# SPDX-License-Identifier: Apache-2.0
"""Python code that meets bytes from elsewhere, each as a function of these bytes.

A target may raise nothing, and checks what its code promises. `SEEDS` has inputs that reach far.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fleetgrad import bundle as bundles
from fleetgrad.device import (
    Arrived,
    DeviceEvent,
    DeviceSession,
    Expected,
    Shape,
    Spoiled,
    identify,
    read_update,
)
from fleetgrad.errors import FleetgradError
from fleetgrad.store import Store, verify
from fleetgrad.store.store import LEDGER
from fleetgrad.wire.errors import MessageError, TransferError
from fleetgrad.wire.framing import Frame, FrameDecoder, Noise, encode_frame, encode_message
from fleetgrad.wire.messages import (
    PAYLOAD_MAX,
    SCHEMA_HASH,
    Ack,
    Chunk,
    Error,
    Hello,
    Phase,
    RoundOpen,
    Status,
    UpdateHeader,
    Work,
)
from fleetgrad.wire.transfer import Receiver, Sender
from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.scheme import read_scheme
from support.federation import CLASSES, DIGEST, FEATURES, SEGMENTS, manifest
from support.models import small_cnn

Target = Callable[[bytes], None]

SHAPE = Shape(SEGMENTS, 2)
WORK = int(Work.EVALUATE | Work.TRAIN)
SESSION = 77
PARAMS = bytes(range(60))
TERMS = RoundOpen(
    round=7,
    model_digest=DIGEST[:8],
    version_tag=5,
    blob_bytes=len(PARAMS),
    blob_crc=zlib.crc32(PARAMS),
    seed=1,
    lr_mantissa=1 << 14,
    lr_exponent=-3,
    epochs=1,
    batch=1,
    max_steps=0,
    work=WORK,
)
HELLO = Hello(
    version_min=1,
    version_max=1,
    max_payload=256,
    schema_hash=SCHEMA_HASH,
    device_id=9,
    model_digest=DIGEST[:8],
    firmware_hash=0,
    boot_count=1,
    train_samples=20,
    eval_samples=10,
    round=0,
    version_tag=0,
    update_crc=0,
    store_bytes=0,
    store_erases=0,
    problem=0,
)


def good_update() -> bytes:
    """An update that a device of this shape could send for these terms."""
    count = sum(size for _, size in SEGMENTS)
    body = bytes(len(SEGMENTS)) + bytes(index % 100 for index in range(count))
    body += struct.pack("<3H", 8, 1, 2) + bytes(len(SEGMENTS))
    header = UpdateHeader(0, TERMS.round, TERMS.version_tag, 20, 10, 5, 1000, 900)
    rest = header.pack()[4:] + body
    return zlib.crc32(rest).to_bytes(4, "little") + rest


# --- Frames, messages, transfers -----------------------------------------------------------------


def frames(data: bytes) -> None:
    """The decoder, in pieces; every message; what is decoded encodes to itself."""
    decoder = FrameDecoder(PAYLOAD_MAX if len(data) % 2 else 64)
    step = 1 + len(data) % 7
    for start in range(0, len(data), step):
        for item in decoder.feed(data[start : start + step]):
            if isinstance(item, Noise):
                continue
            (again,) = FrameDecoder().feed(encode_frame(item))
            assert again == item
            with contextlib.suppress(MessageError):
                assert item.message().pack() == item.payload
    assert identify(data) is None or b"\0" in data


def transfer(data: bytes) -> None:
    """A receiver and a sender that are told anything."""
    blob = bytes(index * 7 & 0xFF for index in range(1000))
    receiver, sender, now = Receiver(1, 1000), Sender(blob, 1, 100), 0
    for at in range(0, len(data) - 3, 4):
        kind, where, size, more = data[at : at + 4]
        offset = min(where * 8 + more % 8, 1100)
        if kind % 3 == 0:
            before = receiver.next_offset
            with contextlib.suppress(TransferError):
                receiver.accept(Chunk(1 + (kind > 250), offset, blob[offset : offset + size]))
            assert receiver.next_offset >= before
            assert receiver.data == blob[: receiver.next_offset]
        elif kind % 3 == 1:
            with contextlib.suppress(TransferError):
                sender.acknowledge(Ack(1 + (kind > 250), offset))
        else:
            now += size * more
            sent = 0
            while (chunk := sender.poll(now)) is not None:
                assert chunk.data == blob[chunk.offset : chunk.offset + len(chunk.data)] != b""
                sent += 1
                assert sent <= 8
            assert sender.wait(now) != 0


# --- A session with a device ---------------------------------------------------------------------


def session(data: bytes) -> None:
    """A session in the middle of a round, whatever the line brings."""
    events = converse(data)
    for event in events:
        if isinstance(event, Arrived):
            assert event.round == TERMS.round
            blob = event.update.blob
            assert zlib.crc32(blob[4:]) == int.from_bytes(blob[:4], "little")
    assert sum(isinstance(event, (Arrived, Spoiled)) for event in events) <= 1


def converse(data: bytes) -> list[DeviceEvent]:
    """What a session makes of commands, bytes and time."""
    ours = DeviceSession(Expected(9, DIGEST[:8], SHAPE), SESSION, 0.0)
    events = ours.receive(encode_message(HELLO, SESSION, 0), 0.0)
    ours.open_round(TERMS, PARAMS, 0.0)
    now, at, update = 0.0, 0, good_update()
    while at < len(data):
        op = data[at]
        size = data[at + 1] if at + 1 < len(data) else 0
        piece = data[at + 2 : at + 2 + size]
        at += 2
        match op % 8:
            case 0:
                events += ours.receive(piece, now)
                at += size
            case 1:
                frame = Frame(piece[0] if piece else 0, SESSION - (op > 127), 0, piece[1:])
                events += ours.receive(encode_frame(frame), now)
                at += size
            case 2:
                start = size * 2 % len(update)
                chunk = Chunk(7, start, update[start : start + op])
                events += ours.receive(encode_message(chunk, SESSION, 0), now)
            case 3:
                events += ours.receive(encode_message(Ack(7, size % 61), SESSION, 0), now)
            case 4:
                error = Error(op >> 3, size, 0)
                events += ours.receive(encode_message(error, SESSION, 0), now)
            case 5:
                phase = (op >> 3) % (max(Phase) + 2)
                status = Status(phase, size, 0, 0, 0)
                events += ours.receive(encode_message(status, SESSION, 0), now)
            case 6:
                hello = replace(HELLO, boot_count=1 + (op >> 5))
                events += ours.receive(encode_message(hello, SESSION * (size & 1), 0), now)
            case _:
                now += size / 10
                events += ours.tick(now)
        while out := ours.take(now):
            assert all(isinstance(item, Frame) for item in FrameDecoder().feed(out))
        wait = ours.wait(now)
        assert wait is None or wait >= 0.0
    return events


# --- Blobs and files -----------------------------------------------------------------------------


def update(data: bytes) -> None:
    """Update blobs; those with a right checksum say what they hold."""
    for blob in (data, zlib.crc32(data[4:]).to_bytes(4, "little") + data[4:]):
        with contextlib.suppress(FleetgradError):
            made = read_update(blob, SHAPE, WORK)
            assert len(made.deltas) == sum(count for _, count in SEGMENTS)
            assert np.abs(made.deltas.astype(int)).max() <= 127


def bundle(data: bytes) -> None:
    """Manifests."""
    with contextlib.suppress(FleetgradError):
        bundles.parse(data, bytes(4 * CLASSES + 2 * CLASSES * FEATURES), bytes(64))


def tflite(data: bytes) -> None:
    """Model files."""
    with contextlib.suppress(CodegenError):
        read_model(data, "fuzzed")


def scheme(data: bytes) -> None:
    """Scheme files."""
    with contextlib.suppress(CodegenError):
        read_scheme(data.decode("utf-8", "replace"), "fuzzed.toml")


def ledger(data: bytes) -> None:
    """Ledgers."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        (Path(folder) / LEDGER).write_bytes(data)
        with contextlib.suppress(FleetgradError), Store(Path(folder), writing=False) as store:
            for run in store.ledger.runs():
                store.ledger.rounds(run.run_id)
                store.ledger.updates(run.run_id)
                store.ledger.devices(run.run_id)
            store.ledger.versions()
            verify(store.ledger.events(), folder)


def _memory() -> str | None:
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() else None


TARGETS: dict[str, Target] = {
    "frames": frames,
    "transfer": transfer,
    "session": session,
    "update": update,
    "bundle": bundle,
    "tflite": tflite,
    "scheme": scheme,
    "ledger": ledger,
}


@functools.cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Inputs of a target that reach far."""
    rng = random.Random(name)
    if name == "frames":
        chunk = Chunk(7, 0, rng.randbytes(90))
        known = (HELLO, TERMS, Ack(7, 9), Error(1, 2, 3), Status(1, 2, 3, 4, 5), chunk)
        return tuple(encode_message(message, 1, 2) for message in known)
    if name == "transfer":
        return tuple(rng.randbytes(80) for _ in range(8))
    if name == "session":
        whole = b"".join(bytes((0x72, at)) for at in range(0, 40, 20))
        return (whole, *(rng.randbytes(60) for _ in range(8)))
    if name == "update":
        return (good_update(),)
    if name == "bundle":
        return (json.dumps(manifest()).encode(),)
    if name == "tflite":
        return (small_cnn(np.random.default_rng(0)),)
    if name == "scheme":
        folder = Path(__file__).resolve().parents[2] / "tools" / "bench"
        return ((folder / "mcunet_sparse.toml").read_bytes(),)
    return (_small_ledger(),)


def _small_ledger() -> bytes:
    from fleetgrad.store.records import DeviceRow, RunRow

    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder), writing=True) as store, store.ledger.write(1.0) as pen:
            pen.add_bundle("ab", "toy", "m", "p", "t")
            base = pen.add_version("cd", parent=None, bundle="ab", params="p", created_by="factory")
            run = RunRow("r-1", "f", "ab", base, "virtual", 2, True, 1.0, "open", 0, "{}", 0.0)
            pen.add_run(run, [DeviceRow(1, "a", 3, 1, "", 0, 0)])
            pen.open_round("r-1", 1, evaluation=False, base=base, selected=[1], attempt=0)
            pen.note("warning", "something", run_id="r-1", number=1, device=1)
        path = Path(folder) / LEDGER
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM")
        return path.read_bytes()


def mutations(name: str, count: int, seed: int) -> Iterator[bytes]:
    """Damaged and spliced inputs of a target: the same ones for the same seed."""
    rng = random.Random(f"{name}/{seed}")
    known = seeds(name)
    for _ in range(count):
        data = bytearray(rng.choice(known))
        for _ in range(1 + int(rng.expovariate(0.7))):
            _mutate(data, rng, known)
        yield bytes(data)


def _mutate(data: bytearray, rng: random.Random, known: tuple[bytes, ...]) -> None:
    at = rng.randrange(len(data) + 1)
    for _ in range(8):  # files are full of zeros that mean nothing
        if at < len(data) and data[at]:
            break
        at = rng.randrange(len(data) + 1)
    match rng.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(data):
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 2:
            del data[at : at + 1 + int(rng.expovariate(0.1))]
        case 3:
            data[at:at] = rng.randbytes(1 + int(rng.expovariate(0.2)))
        case 4:
            other = rng.choice(known)
            start = rng.randrange(len(other))
            data[at:at] = other[start : start + 1 + int(rng.expovariate(0.02))]
        case 5 if len(data) >= at + 4:
            wild = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), rng.getrandbits(32))
            struct.pack_into("<I", data, at, rng.choice(wild))
        case _:
            del data[at:]
