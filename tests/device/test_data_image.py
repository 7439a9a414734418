# SPDX-License-Identifier: Apache-2.0
"""The reader of data images, called directly, on the image of SPEC.md and on damaged ones."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tomllib
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad import paths
from fleetgrad.boards import Board
from fleetgrad.data.image import write_image
from fleetgrad.data.partition import DeviceData
from fleetgrad.toolchain import find_compiler
from fleetgrad.toolchain.image import SANITIZE_FLAGS

OK, ERR_SIZE, ERR_CRC, ERR_FORMAT, ERR_VERSION = 0, -2, -3, -4, -5

_SPEC = (paths.home() / "SPEC.md").read_text(encoding="utf-8")
_BLOCKS = [tomllib.loads(part.split("```", 1)[0]) for part in _SPEC.split("```toml\n")[1:]]
GOLDEN: dict[str, Any] = next(block["image"] for block in _BLOCKS if "image" in block)
IMAGE = bytes.fromhex(GOLDEN["bytes"])

# Every byte that the reader claims is a sample is touched: the sanitizers see one too many.
SHIM = """
#include "fleetgrad/fg_image.h"
int shim_open(const uint8_t *bytes, size_t count, uint64_t *fields) {
    fg_image image;
    const fg_status status = fg_image_open(&image, bytes, count);
    uint64_t sum = 0U;
    const fg_samples *parts[2] = {&image.train, &image.eval};
    for (int p = 0; p < 2; p++) {
        for (size_t i = 0; i < (size_t)parts[p]->count * image.sample_bytes; i++) {
            sum += parts[p]->inputs[i];
        }
        for (size_t i = 0; i < (size_t)parts[p]->count * image.target_bytes; i++) {
            sum += parts[p]->targets[i];
        }
    }
    fields[0] = image.device_id;
    fields[1] = image.boot_base;
    fields[2] = image.train.count;
    fields[3] = image.eval.count;
    fields[4] = sum;
    fields[5] = image.train.count > 1 ? fg_image_label(&image, &image.train, 1) : 0;
    fields[6] = fg_image_boot_base(bytes, count);
    return status;
}
"""


@pytest.fixture(scope="module")
def reader(native_board: Board, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "shim.c").write_text(SHIM)
    firmware = paths.firmware()
    sources = [firmware / "src/device/image.c", firmware / "src/wire/crc32.c", folder / "shim.c"]
    command = [*find_compiler(native_board.compiler.family).command, "-std=c11", "-shared", "-fPIC"]
    if os.environ.get("FLEETGRAD_TEST_SANITIZED"):
        command += SANITIZE_FLAGS
    output = folder / "reader.so"
    subprocess.run(
        [*command, f"-I{firmware}/include", *map(str, sources), "-o", str(output)], check=True
    )
    return ctypes.CDLL(str(output))


def read(reader: ctypes.CDLL, data: bytes) -> tuple[int, list[int]]:
    fields = (ctypes.c_uint64 * 7)()
    exact = (ctypes.c_char * len(data)).from_buffer_copy(data)
    return int(reader.shim_open(exact, ctypes.c_size_t(len(data)), fields)), list(fields)


def sealed(header: bytes, payload: bytes) -> bytes:
    """A header with a CRC that is right whatever it says."""
    return header + zlib.crc32(header).to_bytes(4, "little") + payload


def test_the_image_of_the_specification_is_read(reader: ctypes.CDLL) -> None:
    status, fields = read(reader, IMAGE)
    total = sum(bytes.fromhex("010203fdfeff7f8000")) + 0 + 1 + 1
    assert status == OK
    assert fields == [GOLDEN["device_id"], GOLDEN["boot_base"], 2, 1, total, 1, 7]


def test_the_image_of_the_specification_is_written() -> None:
    import numpy as np

    def part(name: str) -> tuple[Any, Any]:
        rows = GOLDEN[name]
        x = np.frombuffer(b"".join(bytes.fromhex(sample) for sample, _ in rows), np.int8)
        return x.reshape(len(rows), -1), np.array([[label] for _, label in rows], np.uint8)

    (train_x, train_y), (eval_x, eval_y) = part("train"), part("eval")
    data = DeviceData(
        device=GOLDEN["device_id"],
        name="someone",
        target_kind=1,
        train_x=train_x,
        train_y=train_y,
        eval_x=eval_x,
        eval_y=eval_y,
    )
    assert write_image(data, boot_base=GOLDEN["boot_base"]) == IMAGE


@pytest.mark.parametrize("at", range(len(IMAGE)))
def test_no_damaged_byte_goes_unnoticed(reader: ctypes.CDLL, at: int) -> None:
    damaged = bytearray(IMAGE)
    damaged[at] ^= 0x10
    status, fields = read(reader, bytes(damaged))
    assert status == (ERR_FORMAT if at < 4 else ERR_CRC)
    assert fields[2:5] == [0, 0, 0]
    assert fields[0] == (GOLDEN["device_id"] if at >= 64 else 0)


@pytest.mark.parametrize("size", range(len(IMAGE)))
def test_no_missing_byte_goes_unnoticed(reader: ctypes.CDLL, size: int) -> None:
    assert read(reader, IMAGE[:size])[0] == ERR_SIZE


@pytest.mark.parametrize(
    ("at", "value", "status"),
    [
        (4, b"\x02\x00", ERR_VERSION),
        (6, b"\x80\x00", ERR_VERSION),
        (20, bytes(4), ERR_FORMAT),
        (24, b"\x03\x00\x00\x00", ERR_FORMAT),
        (28, b"\x00", ERR_FORMAT),
        (28, b"\x03", ERR_FORMAT),
        (28, b"\x04", ERR_FORMAT),
        (32, b"\x03\x00\x00\x00", ERR_SIZE),
        (32, b"\xff\xff\xff\xff", ERR_SIZE),
        (20, b"\xff\xff\xff\xff", ERR_SIZE),
        (36, b"\x00\x00\x00\x00", ERR_CRC),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(
    reader: ctypes.CDLL, at: int, value: bytes, status: int
) -> None:
    header = IMAGE[:at] + value + IMAGE[at + len(value) : 60]
    assert read(reader, sealed(header, IMAGE[64:]))[0] == status


@given(header=st.binary(min_size=56, max_size=56), payload=st.binary(max_size=200))
def test_no_header_makes_it_read_beyond_the_end(
    reader: ctypes.CDLL, header: bytes, payload: bytes
) -> None:
    head = IMAGE[:8] + header[:52]
    status, fields = read(reader, sealed(head, payload))
    assert status != OK or fields[2] + fields[3] <= len(payload)
