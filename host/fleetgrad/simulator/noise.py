# SPDX-License-Identifier: Apache-2.0
"""Frames with bit errors, through the decoders of both sides: does a damaged one get through?"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from fleetgrad.simulator.host import Violation
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.framing import Frame, FrameDecoder, encode_frame
from fleetgrad.wire.messages import PAYLOAD_MAX

POOL = 4096
"""Frames of one pass: the same ones each time, with other errors."""

_PAYLOADS = (0, 4, 6, 41, 64, 100, 256, 512, 1024)


@dataclass(frozen=True)
class Noisy:
    """What became of frames with bit errors.

    Attributes:
        rate: Chance of every bit on the wire to be inverted.
        frames: Sent.
        bits: Inverted.
        damaged: Frames with at least one inverted bit, the delimiter included.
        delivered: Frames that the decoders accepted: the same ones both.
        corrupt: Of those, frames that nobody has sent.
    """

    rate: float
    frames: int
    bits: int
    damaged: int
    delivered: int
    corrupt: int

    def __add__(self, other: Noisy) -> Noisy:
        """Both together; of one rate."""
        return Noisy(
            self.rate,
            self.frames + other.frames,
            self.bits + other.bits,
            self.damaged + other.damaged,
            self.delivered + other.delivered,
            self.corrupt + other.corrupt,
        )

    @property
    def misses(self) -> float:
        """How many a 32-bit checksum would miss; none with few errors in up to 371 bytes."""
        return self.damaged / 2.0**32


class NoisyLine:
    """Sends a pool of frames of all sizes again and again.

    Args:
        library: Any firmware: its decoder is the device's.
        seed: Of frames and errors.
    """

    def __init__(self, library: Library, seed: int) -> None:
        self._dice = np.random.default_rng(seed)
        self._decode = library.raw.fg_virtual_decode
        self._decode.restype = ctypes.c_size_t
        frames = [self._frame(index) for index in range(POOL)]
        wires = [encode_frame(frame) for frame in frames]
        self._stream = np.frombuffer(b"".join(wires), np.uint8)
        self._ends = np.cumsum([len(wire) for wire in wires])
        self._sent = {_raw(frame) for frame in frames}
        self._frames = ctypes.create_string_buffer(2 * len(self._stream))

    def send(self, rate: float, passes: int) -> Noisy:
        """Sends the pool some times.

        Args:
            rate: Of bit errors.
            passes: How often.

        Raises:
            Violation: The two decoders disagree.
        """
        flipped = damaged = delivered = corrupt = 0
        for _ in range(passes):
            stream, bits, hit = self._damage(rate)
            ours, theirs = _decode_here(stream), self._decode_there(stream)
            if ours != theirs:
                raise Violation(
                    "the decoders of host and device disagree",
                    where=f"{len(ours)} and {len(theirs)} frames at a bit error rate of {rate:g}",
                )
            flipped += bits
            damaged += hit
            delivered += len(ours)
            corrupt += sum(frame not in self._sent for frame in ours)
        return Noisy(rate, passes * POOL, flipped, damaged, delivered, corrupt)

    def _frame(self, index: int) -> Frame:
        size = _PAYLOADS[index % len(_PAYLOADS)]
        assert size <= PAYLOAD_MAX
        payload = self._dice.integers(0, 256, size, np.uint8)
        if index % 2:  # updates are mostly small numbers, and zeros among them
            payload = np.where(payload < 128, 0, payload % 8).astype(np.uint8)
        kind, session = int(self._dice.integers(1, 32)), int(self._dice.integers(1, 1 << 32))
        return Frame(kind, session, index, payload.tobytes())

    def _damage(self, rate: float) -> tuple[bytes, int, int]:
        """The stream with errors, how many, and in how many frames."""
        total = 8 * len(self._stream)
        count = int(self._dice.binomial(total, rate))
        places = np.unique(self._dice.integers(0, total, count))
        stream = self._stream.copy()
        np.bitwise_xor.at(stream, places >> 3, (1 << (places & 7)).astype(np.uint8))
        hit = np.unique(np.searchsorted(self._ends, places >> 3, side="right"))
        return stream.tobytes(), len(places), len(hit)

    def _decode_there(self, stream: bytes) -> list[bytes]:
        bad = ctypes.c_uint32()
        used = self._decode(stream, ctypes.c_size_t(len(stream)), self._frames, ctypes.byref(bad))
        raw, at, found = self._frames.raw[:used], 0, []
        while at < used:
            end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
            found.append(raw[at + 4 : end])
            at = end
        return found


def _decode_here(stream: bytes) -> list[bytes]:
    return [_raw(item) for item in FrameDecoder().feed(stream) if isinstance(item, Frame)]


def _raw(frame: Frame) -> bytes:
    """Header and payload, as the checksum covers them."""
    head = bytes((1, frame.type, 0, frame.compat))
    ids = frame.session.to_bytes(4, "little") + frame.seq.to_bytes(2, "little")
    return head + ids + len(frame.payload).to_bytes(2, "little") + frame.payload
