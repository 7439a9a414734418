# SPDX-License-Identifier: Apache-2.0
"""The harnesses in tests/fuzz: how they are built, and inputs that reach far."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fleetgrad.toolchain.sources import needed_sources
from fleetgrad.wire import messages
from fleetgrad.wire.framing import DELIMITER, Frame, encode_frame, encode_message
from fleetgrad.wire.messages import Ack, Chunk, StatusRequest
from support import wire_native
from support.fake_model import FAKE_BUNDLE

HARNESSES = wire_native.ROOT / "tests" / "fuzz"
SANITIZERS = ("-g", "-O1", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class Harness:
    """A program that a fuzzer feeds.

    Attributes:
        name: Of its file, without fuzz_ and .c.
        sources: What it tests.
        folders: Of headers, besides the firmware's own.
    """

    name: str
    sources: tuple[Path, ...]
    folders: tuple[Path, ...] = ()


def _node_sources() -> tuple[Path, ...]:
    """All that the harness needs, itself left out."""
    roots = [HARNESSES / "fuzz_node.c", FAKE_BUNDLE / "model.c"]
    library = sorted((wire_native.ROOT / "firmware" / "src").rglob("*.c"))
    return tuple(needed_sources(roots, library)[1:])


WIRE = Harness("wire", tuple(wire_native.SOURCES))
NODE = Harness("node", _node_sources(), (FAKE_BUNDLE,))


def build(harness: Harness, folder: Path, compiler: str, sanitize: str, *extra: str) -> Path | None:
    """Builds a harness; None where this compiler has no such runtime."""
    program = folder / f"fuzz_{harness.name}"
    empty = folder / "probe.c"
    main = "int main(void) { return 0; }"
    if "fuzzer" in sanitize:
        main = "int LLVMFuzzerTestOneInput(const char *d, long n) { return (int)(d[0] * n * 0); }"
    empty.write_text(main + "\n")
    base = [compiler, *SANITIZERS, f"-fsanitize={sanitize}", "-o", str(program)]
    if subprocess.run([*base, str(empty)], capture_output=True, check=False).returncode != 0:
        return None
    folders = [f"-I{path}" for path in (HARNESSES, *harness.folders)]
    sources = [*map(str, harness.sources), str(HARNESSES / f"fuzz_{harness.name}.c")]
    subprocess.run([*base, *wire_native.FLAGS, *folders, *extra, *sources], check=True)
    return program


def seeds(harness: Harness) -> list[bytes]:
    """Inputs that reach far into what a harness tests."""
    return _wire_seeds() if harness is WIRE else _node_seeds()


def _wire_seeds() -> list[bytes]:
    """Every message and both state machines, whole and damaged."""
    rng = random.Random("wire corpus")
    inputs = [bytes((size,)) for size in range(4)]
    for record in wire_native.schema().messages + wire_native.schema().records:
        for extra in (0, 1, 40):
            payload = rng.randbytes(record.fixed_bytes + extra)
            frame = Frame(record.id or 0x7F, rng.getrandbits(32), rng.getrandbits(16), payload)
            inputs.append(b"\x01" + encode_frame(frame))
    for size in range(4):
        stream = bytearray((size,))
        framed = bytearray((size | 4,))
        for seq in range(60):
            offset = rng.choice([0, seq * 58, rng.randrange(3000), rng.getrandbits(32)])
            message = rng.choice(
                [
                    Chunk(7, seq * 58 % 3000, rng.randbytes(58)),
                    Chunk(rng.choice([7, 8]), offset, rng.randbytes(rng.randrange(500))),
                    Ack(rng.choice([7, 8]), offset),
                    StatusRequest(),
                ]
            )
            stream += encode_message(message, 1, rng.choice([0, 500, 1000, 65535]))
            payload = message.pack()[:255]
            framed += bytes((message.ID, len(payload))) + payload
            if rng.random() < 0.1:
                stream += rng.randbytes(rng.randrange(100)) + DELIMITER
        inputs += [bytes(stream), bytes(framed)]
        for _ in range(20):
            damaged = bytearray(stream)
            for _ in range(rng.randrange(1, 30)):
                damaged[rng.randrange(1, len(damaged))] = rng.randrange(256)
            inputs.append(bytes(damaged))
    whole = [Chunk(7, offset, rng.randbytes(200)) for offset in range(0, 3000, 200)]
    inputs.append(b"\x03" + b"".join(encode_message(chunk, 1, 0) for chunk in whole))
    largest = Frame(0x11, 1, 1, b"\xff" * messages.PAYLOAD_MAX)
    inputs.append(b"\x03" + encode_frame(largest))
    inputs.append(b"\x00" + encode_frame(largest))
    return inputs


# Commands of fuzz_node.c.
_GREET, _EVALUATE_AND_TRAIN, _RUN, _RESET = 0x01, 0x02 | 3 << 3, 0x07, 0xFF
_CHUNKS, _ACK, _RECEIPT, _WAIT = 0x03 | 32, 0x04 | 16, 0x04 | 32, 0x05 | 8


def _node_seeds() -> list[bytes]:
    """Whole rounds, interrupted ones, and random commands, with and without a data image."""
    rng = random.Random("node corpus")
    image = bytes((3, 2)) + rng.randbytes(5 * 65)
    greeting = bytes((_GREET, 3, _RUN))
    opened = bytes((_EVALUATE_AND_TRAIN, 0, _CHUNKS, 255, _RUN))
    rest = bytes((_ACK, 85, _RUN, _WAIT, 255, _RUN, _RECEIPT, 1, _RUN))
    begun = b"\0" + image + greeting + opened
    inputs = [b"\x01" + greeting, begun + rest, begun + greeting + opened + rest, begun * 2]
    # With flash: what it keeps outlives resets.
    kept = b"\4" + begun[1:] + bytes((_RESET,)) + greeting + opened + rest
    inputs += [kept, kept[:-20] + bytes((_RESET,)) + greeting + opened + rest]
    inputs += [b"\4" + image + greeting + opened + rng.randbytes(60) for _ in range(8)]
    inputs.append(begun + bytes((_RESET,)) + greeting + opened + rest)
    inputs += [b"\x02" + rng.randbytes(300 + 65 * 5) for _ in range(12)]
    inputs += [b"\0" + image + greeting + rng.randbytes(80) for _ in range(24)]
    return inputs
