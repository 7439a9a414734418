# SPDX-License-Identifier: Apache-2.0
"""The C wire code under AddressSanitizer and UndefinedBehaviorSanitizer, and a short fuzzing run.

For a long one: build as here and give libFuzzer a folder instead of `-runs`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from fleetgrad.wire import messages
from fleetgrad.wire.framing import DELIMITER, Frame, encode_frame, encode_message
from fleetgrad.wire.messages import Ack, Chunk, StatusRequest
from support import wire_native

HARNESS = wire_native.ROOT / "tests/fuzz/fuzz_wire.c"
SANITIZERS = ["-g", "-O1", "-fno-sanitize-recover=all"]


def seeds() -> list[bytes]:
    """Inputs that reach every message and both state machines, whole and damaged."""
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


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for index, data in enumerate(seeds()):
        (folder / f"{index:03}").write_bytes(data)
    return folder


def build(folder: Path, compiler: str, sanitize: str, *extra: str) -> Path | None:
    """Builds the harness; None where this compiler has no such runtime."""
    program = folder / "fuzz_wire"
    empty = folder / "probe.c"
    main = "int main(void) { return 0; }"
    if "fuzzer" in sanitize:
        main = "int LLVMFuzzerTestOneInput(const char *d, long n) { return (int)(d[0] * n * 0); }"
    empty.write_text(main + "\n")
    base = [compiler, *SANITIZERS, f"-fsanitize={sanitize}", "-o", str(program)]
    if subprocess.run([*base, str(empty)], capture_output=True, check=False).returncode != 0:
        return None
    sources = [*map(str, wire_native.SOURCES), str(HARNESS)]
    subprocess.run([*base, *wire_native.FLAGS, *extra, *sources], check=True)
    return program


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_corpus_runs_clean_under_sanitizers(
    tmp_path: Path, corpus: Path, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = build(tmp_path, compiler, "address,undefined", "-DFG_FUZZ_MAIN")
    if program is None:
        pytest.skip(f"{compiler} has no sanitizer runtime here")
    paths = map(str, sorted(corpus.iterdir()))
    done = subprocess.run([str(program), *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fuzzing_finds_nothing_in_a_short_run(tmp_path: Path, corpus: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    program = build(tmp_path, "clang", "fuzzer,address,undefined")
    if program is None:
        pytest.skip("this clang has no libFuzzer runtime")
    grown = tmp_path / "grown"
    grown.mkdir()
    done = subprocess.run(
        [
            str(program),
            "-runs=20000",
            "-seed=1",
            "-max_len=4096",
            "-max_total_time=10",
            f"-artifact_prefix={tmp_path}/",
            str(grown),
            str(corpus),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
