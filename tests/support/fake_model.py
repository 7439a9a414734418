# SPDX-License-Identifier: Apache-2.0
"""The fake model of fake_bundle/, and what a device that runs it must make of a round.

Written from the specification, not from the C: keys, sample order, batches, means and deltas."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FAKE_BUNDLE = Path(__file__).parent / "fake_bundle"

CLASSES, INPUTS = 10, 64
WEIGHTS = CLASSES * INPUTS
PARAM_BYTES = 4 * CLASSES + 2 * WEIGHTS
BATCH = 4
DIGEST = bytes.fromhex("FACE010203040506")
POISON = CRASH = -128  # as the first or second value of a sample
MASK = 0xFFFFFFFF
BIAS_LIMIT = 1 << 30


def mix32(x: int) -> int:
    x &= MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def round_key(seed: int, number: int, device: int) -> int:
    low, high = device & MASK, device >> 32
    return mix32(seed ^ mix32(number ^ mix32(low ^ mix32(high))))


def sample_order(key: int, epoch: int, count: int) -> list[int]:
    a = mix32(key ^ (((epoch + 1) * 0xC2B2AE35) & MASK))
    stride = 1 + mix32(a) % count
    while math.gcd(stride, count) != 1:
        stride += 1
    return [(a % count + i * stride) % count for i in range(count)]


@dataclass
class Samples:
    """Samples of one device: int8 [n, 64] and labels below 10."""

    x: np.ndarray
    y: np.ndarray

    @staticmethod
    def random(count: int, seed: int) -> Samples:
        rng = np.random.default_rng(seed)
        x = rng.integers(-127, 128, (count, INPUTS)).astype(np.int8)
        return Samples(x, rng.integers(0, CLASSES, count).astype(np.uint8))


DEVICE = 42
TRAIN = Samples.random(11, seed=1)
HELD_OUT = Samples.random(5, seed=2)


@dataclass
class FakeModel:
    """Parameters, and the same arithmetic as fake_bundle/model.c."""

    bias: list[int]
    masters: list[int]
    rows: dict[int, int] = field(default_factory=dict)

    @staticmethod
    def load(params: bytes) -> FakeModel:
        bias = list(struct.unpack_from(f"<{CLASSES}i", params))
        return FakeModel(bias, list(struct.unpack_from(f"<{WEIGHTS}h", params, 4 * CLASSES)))

    def params(self) -> bytes:
        return struct.pack(f"<{CLASSES}i{WEIGHTS}h", *self.bias, *self.masters)

    def forward(self, x: np.ndarray) -> list[int]:
        shadow = np.array([math.trunc(m / 256) for m in self.masters]).reshape(CLASSES, INPUTS)
        return [mix32(int(s)) & 127 for s in shadow @ x.astype(np.int64)]

    def evaluate(self, x: np.ndarray, label: int) -> tuple[int, bool]:
        output = self.forward(x)
        return output[label] * 7, output.index(max(output)) == label

    def accumulate(self, x: np.ndarray, label: int, row: int) -> int:
        loss, _ = self.evaluate(x, label)
        self.rows[row] = (loss + label) * (row + 1)
        return loss

    def apply(self, rows: int, mantissa: int, exponent: int, key: int) -> None:
        total = (
            mantissa + (exponent & MASK) * 65536 + sum(self.rows[r] for r in range(rows))
        ) & MASK
        self.bias = [
            _wrap(b + (mix32(key + total + i) >> 12) - (1 << 19), 32)
            for i, b in enumerate(self.bias)
        ]
        self.masters = [
            _wrap(m + (mix32(key ^ ((total + i) & MASK)) & 511) - 256, 16)
            for i, m in enumerate(self.masters)
        ]


def _wrap(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


@dataclass(frozen=True)
class Terms:
    """What a round asks for."""

    number: int = 1
    seed: int = 7
    mantissa: int = 1 << 14
    exponent: int = -3
    epochs: int = 2
    batch: int = 3
    max_steps: int = 0
    evaluate: bool = True
    train: bool = True
    version_tag: int = 0xABCD0123


def deltas(params: bytes, base: bytes) -> tuple[list[int], list[int]]:
    """Exponents of the two segments, and all deltas."""
    before, after = FakeModel.load(base), FakeModel.load(params)
    exponents, values = [], []
    for now, then in ((after.bias, before.bias), (after.masters, before.masters)):
        change = [n - t for n, t in zip(now, then, strict=True)]
        shift = max(0, max(abs(c) for c in change).bit_length() - 7)
        half = 1 << shift >> 1
        exponents.append(shift)
        values += [(1 if c >= 0 else -1) * min(127, (abs(c) + half) >> shift) for c in change]
    return exponents, values


def _mean(total: int, count: int) -> int:
    return min(65535, (total + count // 2) // count) if count else 0


def saturated(params: bytes, base: bytes) -> bytes:
    """Of each segment, how many parameters have come to their limits."""
    before, after = FakeModel.load(base), FakeModel.load(params)
    pairs = ((after.bias, before.bias, 1 << 30), (after.masters, before.masters, 127 * 256))
    return bytes(
        min(255, sum(abs(a) >= limit > abs(b) for a, b in zip(now, then, strict=True)))
        for now, then, limit in pairs
    )


def expected_update(
    terms: Terms, device: int, base: bytes, train: Samples, held_out: Samples
) -> bytes:
    """The update blob that the device must send."""
    model = FakeModel.load(base)
    model.bias = [min(max(b, -BIAS_LIMIT), BIAS_LIMIT) for b in model.bias]
    key = round_key(terms.seed, terms.number, device)
    seen = [model.evaluate(x, int(y)) for x, y in zip(held_out.x, held_out.y, strict=True)]
    seen = seen if terms.evaluate else []
    steps = visits = loss = 0
    for epoch in range(terms.epochs if terms.train else 0):
        order = sample_order(key, epoch, len(train.x))
        for start in range(0, len(order), terms.batch):
            if terms.max_steps and steps == terms.max_steps:
                break
            batch = order[start : start + terms.batch]
            for row, index in enumerate(batch):
                loss += model.accumulate(train.x[index], int(train.y[index]), row)
                visits += 1
            model.apply(len(batch), terms.mantissa, terms.exponent, mix32(key + steps * 0x9E3779B9))
            steps += 1
    body = struct.pack(
        "<IIHHHHH",
        terms.number,
        terms.version_tag,
        min(visits, len(train.x)),
        len(seen),
        sum(correct for _, correct in seen),
        _mean(sum(value for value, _ in seen), len(seen)),
        _mean(loss, visits),
    )
    if terms.train:
        exponents, values = deltas(model.params(), base)
        body += bytes(exponents) + struct.pack(f"<{len(values)}b", *values)
        body += saturated(model.params(), base)
    return struct.pack("<I", zlib.crc32(body)) + body


def data_image(
    train: Samples,
    held_out: Samples,
    *,
    device: int = DEVICE,
    boot_base: int = 0,
    kind: int = 1,
    sample_bytes: int = INPUTS,
    target_bytes: int = 1,
    version: int = 1,
) -> bytes:
    """A data image, byte by byte as the specification has it."""
    payload = train.x.tobytes() + train.y.tobytes() + held_out.x.tobytes() + held_out.y.tobytes()
    header = struct.pack(
        "<IHHQIIIB3xII8sI8x",
        0x49444746,
        version,
        64,
        device,
        boot_base,
        sample_bytes,
        target_bytes,
        kind,
        len(train.x),
        len(held_out.x),
        bytes(8),
        zlib.crc32(payload),
    )
    return header + struct.pack("<I", zlib.crc32(header)) + payload
