# SPDX-License-Identifier: Apache-2.0
"""Class-balancing reservoir sampling: the paper's algorithm in Python, and the C behind ctypes."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.training.rng import MASK, mix32

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-g1",
         "-fsanitize=undefined", "-fno-sanitize-recover=all",
         f"-I{ROOT}/firmware/include"]  # fmt: skip


class Reference:
    """What SPEC.md says, sample by sample; memory is a list of (label, sample)."""

    def __init__(self, capacity: int, classes: int, key: int) -> None:
        self.capacity, self.key = capacity, key
        self.seen = [0] * classes
        self.full = [False] * classes
        self.held: list[tuple[int, bytes]] = []
        self.added = 0

    def _draw(self, which: int, limit: int) -> int:
        return mix32(self.key + 2 * self.added + which & MASK) * limit >> 32

    def _slots(self, label: int) -> list[int]:
        return [slot for slot, (other, _) in enumerate(self.held) if other == label]

    def _place(self, label: int) -> int | None:
        if len(self.held) < self.capacity:
            self.held.append((label, b""))
            return len(self.held) - 1
        counts = [len(self._slots(c)) for c in range(len(self.seen))]
        largest = [c for c, count in enumerate(counts) if count == max(counts)]
        for c in largest:
            self.full[c] = True
        if not self.full[label]:
            candidates = [slot for c in largest for slot in self._slots(c)]
            return candidates[self._draw(1, len(candidates))]
        own = self._slots(label)
        if self._draw(0, self.seen[label]) >= len(own):
            return None
        return own[self._draw(1, len(own))]

    def add(self, sample: bytes, label: int) -> None:
        self.seen[label] += 1
        slot = self._place(label)
        if slot is not None:
            self.held[slot] = (label, sample)
        self.added += 1


class Tally(ctypes.Structure):
    _fields_ = (("seen", ctypes.c_uint32), ("held", ctypes.c_uint16), ("full", ctypes.c_bool))


class _Config(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("tallies", ctypes.POINTER(Tally)),
        ("sample_bytes", ctypes.c_uint32),
        ("capacity", ctypes.c_uint32),
        ("classes", ctypes.c_uint32),
        ("key", ctypes.c_uint32),
        ("waiting_inputs", ctypes.c_void_p),
        ("tickets", ctypes.c_void_p),
        ("waiting", ctypes.c_uint32),
    )


class _Reservoir(ctypes.Structure):
    _fields_ = (
        ("config", _Config),
        ("count", ctypes.c_uint32),
        ("added", ctypes.c_uint32),
        ("ticket", ctypes.c_uint32),
        ("unlabeled", ctypes.c_uint32),
    )


class _Samples(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("targets", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
    )


def build(folder: Path) -> ctypes.CDLL:
    """The C as a shared library, with UndefinedBehaviorSanitizer."""
    path = folder / "reservoir.so"
    source = ROOT / "firmware" / "src" / "device" / "reservoir.c"
    subprocess.run(["cc", *FLAGS, "-shared", "-fPIC", source, "-o", path], check=True)
    library = ctypes.CDLL(str(path))
    library.fg_reservoir_samples.restype = _Samples
    return library


class Native:
    """The C, with its memory in NumPy arrays that end in a canary."""

    CANARY = 0xA5

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        capacity: int,
        classes: int,
        sample_bytes: int,
        key: int,
        waiting: int = 0,
    ) -> None:
        self.library = library
        self.inputs = np.full(capacity * sample_bytes + 8, self.CANARY, np.uint8)
        self.labels = np.full(capacity + 8, self.CANARY, np.uint8)
        self.waiting = np.full(waiting * sample_bytes + 8, self.CANARY, np.uint8)
        self.tickets = np.full(waiting + 2, 0xA5A5A5A5, np.uint32)
        self.tallies = (Tally * classes)()
        self.sample_bytes, self.capacity = sample_bytes, capacity
        config = _Config(
            self.inputs.ctypes.data, self.labels.ctypes.data, self.tallies, sample_bytes, capacity,
            classes, key, self.waiting.ctypes.data, self.tickets.ctypes.data, waiting,
        )  # fmt: skip
        self.struct = _Reservoir()
        self.status = library.fg_reservoir_init(ctypes.byref(self.struct), ctypes.byref(config))

    def add(self, sample: bytes, label: int) -> int:
        assert len(sample) == self.sample_bytes
        status: int = self.library.fg_sample_add(ctypes.byref(self.struct), sample, label)
        return status

    def hold(self, sample: bytes) -> tuple[int, int]:
        ticket = ctypes.c_uint32()
        status = self.library.fg_sample_hold(
            ctypes.byref(self.struct), sample, ctypes.byref(ticket)
        )
        return status, ticket.value

    def label(self, ticket: int, label: int) -> int:
        status: int = self.library.fg_sample_label(ctypes.byref(self.struct), ticket, label)
        return status

    @property
    def held(self) -> list[tuple[int, bytes]]:
        """Label and bytes of every sample, in the order of their slots."""
        view = self.library.fg_reservoir_samples(ctypes.byref(self.struct))
        assert (view.inputs, view.targets) == (self.inputs.ctypes.data, self.labels.ctypes.data)
        rows = self.inputs[: self.capacity * self.sample_bytes].reshape(self.capacity, -1)
        return [(int(self.labels[i]), rows[i].tobytes()) for i in range(view.count)]

    @property
    def intact(self) -> bool:
        """Nothing was written behind the caller's memory."""
        ends: tuple[npt.NDArray[np.uint8], ...] = (self.inputs, self.labels, self.waiting)
        return all((end[-8:] == self.CANARY).all() for end in ends)
