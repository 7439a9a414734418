# SPDX-License-Identifier: Apache-2.0
"""The firmware's loop over many devices (firmware/port/fleet), with Python types.

ctypes lets go of the interpreter's lock: threads with memory of their own run side by side.
"""

import ctypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Shape
from fleetgrad.errors import RoundError, ToolError
from fleetgrad.simulate.samples import FleetSamples, Part
from fleetgrad.toolchain.library import STATUS, Library
from fleetgrad.wire.messages import RoundOpen

_POINTER = ctypes.c_void_p
_U32, _U64, _I32 = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32


class _Part(ctypes.Structure):
    _fields_ = (
        ("inputs", _POINTER),
        ("targets", _POINTER),
        ("first", _POINTER),
        ("rows", _POINTER),
    )


class _Drawn(ctypes.Structure):
    _fields_ = (
        ("enabled", _U32),
        ("seed", _U32),
        ("classes", _U32),
        ("train_least", _U32),
        ("train_most", _U32),
        ("eval_count", _U32),
        ("own", _U32),
        ("noise", _U32),
    )


class _Fleet(ctypes.Structure):
    _fields_ = (
        ("first_id", _U64),
        ("target_bytes", _U32),
        ("target_kind", _U32),
        ("most_train", _U32),
        ("most_eval", _U32),
        ("train", _Part),
        ("eval", _Part),
        ("drawn", _Drawn),
    )


class _Round(ctypes.Structure):
    _fields_ = (
        ("round", _U32),
        ("version_tag", _U32),
        ("seed", _U32),
        ("lr_mantissa", _U32),
        ("lr_exponent", _I32),
        ("epochs", _U32),
        ("batch", _U32),
        ("max_steps", _U32),
        ("work", _U32),
        ("params", _POINTER),
    )


TOTALS: Final = (
    "updates", "failed", "empty", "samples", "train_loss", "eval_samples", "eval_correct",
    "eval_loss", "steps", "measured", "digest",
)  # fmt: skip


class _Totals(ctypes.Structure):
    _fields_ = tuple((name, _U64) for name in TOTALS)


class _Sums(ctypes.Structure):
    _fields_ = (
        ("totals", _Totals),
        ("deltas", _POINTER),
        ("bounds", _POINTER),
        ("saturated", _POINTER),
        ("saturating", _POINTER),
        ("clipped", _POINTER),
    )


RECORD: Final = np.dtype(
    [
        ("status", "<i4"),
        ("steps", "<u4"),
        ("samples", "<u2"),
        ("eval_samples", "<u2"),
        ("eval_correct", "<u2"),
        ("eval_loss", "<u2"),
        ("train_loss", "<u2"),
        ("unused", "<u2"),
    ]
)
"""What one device came to, as in the header of its update."""


@dataclass(frozen=True)
class Totals:
    """Sums over devices, n being a device's training samples and m its held-out ones.

    Attributes:
        updates: Devices whose update counts.
        failed: Devices whose work a kernel has refused.
        empty: Devices without samples for the round's work.
        samples: Sum of n.
        train_loss: Sum of n * mean loss.
        eval_samples: Sum of m.
        eval_correct: Of these, the right ones.
        eval_loss: Sum of m * mean loss.
        steps: Training steps.
        measured: Samples whose clipped outputs were counted.
        digest: Of all updates, modulo 2^64; their order does not matter.
    """

    updates: int = 0
    failed: int = 0
    empty: int = 0
    samples: int = 0
    train_loss: int = 0
    eval_samples: int = 0
    eval_correct: int = 0
    eval_loss: int = 0
    steps: int = 0
    measured: int = 0
    digest: int = 0

    def merge(self, other: "Totals") -> "Totals":
        """Those of both."""
        both = {name: getattr(self, name) + getattr(other, name) for name in TOTALS}
        return Totals(**{**both, "digest": both["digest"] % (1 << 64)})


@dataclass(frozen=True, eq=False)
class Shard:
    """What some devices of a round came to, in all.

    Attributes:
        totals: See there.
        deltas: int64, of every parameter: sum of n * delta * 2^exponent, modulo 2^64.
        bounds: Of every segment: no sum can be larger; 2^64 - 1: or more.
        saturated: Of every segment: parameters that came to their limits.
        saturating: Of every segment: devices where any did.
        clipped: Of every range: sum of measured samples times share of clipped outputs.
        records: `RECORD` of each device asked, in the order asked; empty where not wanted.
        blobs: uint8 [devices, bytes], each device's update as it would travel; None: not wanted.
        seconds: Of this thread's processor time.
    """

    totals: Totals
    deltas: NDArray[np.int64]
    bounds: tuple[int, ...]
    saturated: tuple[int, ...]
    saturating: tuple[int, ...]
    clipped: tuple[int, ...]
    records: NDArray[np.void]
    blobs: NDArray[np.uint8] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class FleetLibrary:
    """A loaded library of the app ``fleet``.

    Args:
        path: The library.
        shape: What its model's updates consist of.

    Raises:
        ToolError: When it cannot be loaded, is of another version or no fleet's.
    """

    path: Path
    shape: Shape
    library: Library = field(init=False)

    def __post_init__(self) -> None:
        """Loads it."""
        library = Library(self.path)
        if not hasattr(library.raw, "fg_fleet_run"):
            raise ToolError("the library runs single devices only", where=str(self.path))
        library.raw.fg_fleet_bytes.restype = ctypes.c_size_t
        object.__setattr__(self, "library", library)

    def worker(self, samples: FleetSamples) -> "FleetWorker":
        """What one thread needs."""
        return FleetWorker(self.library, self.shape, samples)


class FleetWorker:
    """One thread's memory, and the fleet as C sees it.

    Args:
        library: The library.
        shape: What updates consist of.
        samples: The fleet's.
    """

    def __init__(self, library: Library, shape: Shape, samples: FleetSamples) -> None:
        self._raw = library.raw
        self._param_bytes = library.param_bytes
        self._input_bytes = library.input_bytes
        self._shape = shape
        self._samples = samples  # keeps the arrays that C points to
        self._fleet = _fleet(samples)
        self._bytes = int(self._raw.fg_fleet_bytes(ctypes.byref(self._fleet)))
        self._memory = (ctypes.c_uint64 * (self._bytes // 8 + 1))()

    @property
    def memory_bytes(self) -> int:
        """Of this thread."""
        return self._bytes

    def run(
        self,
        terms: RoundOpen,
        vector: bytes,
        devices: NDArray[np.uint32],
        *,
        records: bool = False,
        blobs: bool = False,
    ) -> Shard:
        """One round of some devices.

        Args:
            terms: Of the round.
            vector: The parameters that it starts from.
            devices: Their places in the fleet: 0 .. devices - 1.
            records: Whether each device's numbers are wanted.
            blobs: Whether each device's update is wanted.

        Raises:
            RoundError: A node would refuse these terms.
        """
        assert len(vector) == self._param_bytes
        assert int(devices.max(initial=0)) < self._samples.devices
        devices = np.ascontiguousarray(devices, np.uint32)
        params = np.frombuffer(vector, np.uint8)
        shape = self._shape
        per_segment = np.zeros((3, len(shape.segments)), np.uint64)
        deltas = np.zeros(sum(count for _, count in shape.segments), np.int64)
        clipped = np.zeros(shape.ranges, np.uint64)
        sums = _Sums(
            _Totals(),
            deltas.ctypes.data,
            *(row.ctypes.data for row in per_segment),
            clipped.ctypes.data,
        )
        made = np.zeros(len(devices) if records or blobs else 0, RECORD)
        size = shape.update_bytes(terms.work)
        written = np.zeros((len(devices), size), np.uint8) if blobs else None
        status = self._raw.fg_fleet_run(
            ctypes.byref(self._fleet),
            ctypes.byref(_round(terms, params)),
            _POINTER(devices.ctypes.data),
            _U32(len(devices)),
            self._memory,
            ctypes.c_size_t(ctypes.sizeof(self._memory)),
            ctypes.byref(sums),
            _POINTER(made.ctypes.data) if len(made) else None,
            None if written is None else _POINTER(written.ctypes.data),
            _U32(size if blobs else 0),
        )
        if status:
            raise RoundError(
                f"no device takes these terms: {STATUS.get(status, status)}",
                where=f"round {terms.round}",
                hint="train.batch, train.epochs and train.learning_rate must suit the bundle",
            )
        totals = Totals(**{name: int(getattr(sums.totals, name)) for name in TOTALS})
        bounds, saturated, saturating = (tuple(map(int, row)) for row in per_segment)
        return Shard(
            totals, deltas, bounds, saturated, saturating, tuple(map(int, clipped)), made, written
        )

    def samples_of(
        self, device: int, *, held_out: bool = False
    ) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        """The samples that a device has, as its data image would hold them.

        Args:
            device: Its place in the fleet.
            held_out: Those held out, else those to train on.
        """
        most = max(1, self._samples.most[held_out])
        inputs = np.zeros((most, self._input_bytes), np.int8)
        targets = np.zeros((most, self._samples.target_bytes), np.uint8)
        count = self._raw.fg_fleet_samples(
            ctypes.byref(self._fleet),
            _U32(device),
            _U32(held_out),
            _POINTER(inputs.ctypes.data),
            _POINTER(targets.ctypes.data),
        )
        return inputs[:count], targets[:count]

    def score(
        self, vector: bytes, inputs: NDArray[np.int8], targets: NDArray[np.uint8]
    ) -> tuple[int, int]:
        """A model on samples that no device has: how many are right, and the sum of losses.

        Args:
            vector: The parameters.
            inputs: int8 [n, sample bytes].
            targets: uint8 [n, target bytes].

        Raises:
            RoundError: A kernel refuses.
        """
        inputs, targets = np.ascontiguousarray(inputs), np.ascontiguousarray(targets)
        totals = _Totals()
        params = np.frombuffer(vector, np.uint8)
        status = self._raw.fg_fleet_score(
            ctypes.byref(self._fleet),
            _POINTER(params.ctypes.data),
            _POINTER(inputs.ctypes.data),
            _POINTER(targets.ctypes.data),
            _U32(len(inputs)),
            self._memory,
            ctypes.c_size_t(ctypes.sizeof(self._memory)),
            ctypes.byref(totals),
        )
        if status:
            raise RoundError(f"the model cannot be scored: {STATUS.get(status, status)}")
        return int(totals.eval_correct), int(totals.eval_loss)


def _part(part: Part) -> _Part:
    return _Part(
        part.inputs.ctypes.data,
        part.targets.ctypes.data,
        part.first.ctypes.data,
        None if part.rows is None else part.rows.ctypes.data,
    )


def _fleet(samples: FleetSamples) -> _Fleet:
    most_train, most_eval = samples.most
    drawn = samples.drawn
    return _Fleet(
        samples.first_id,
        samples.target_bytes,
        samples.target_kind,
        most_train,
        most_eval,
        _part(samples.train),
        _part(samples.held),
        _Drawn()
        if drawn is None
        else _Drawn(
            1,
            drawn.seed,
            drawn.classes,
            drawn.train_least,
            drawn.train_most,
            drawn.eval_count,
            drawn.own,
            drawn.noise,
        ),
    )


def _round(terms: RoundOpen, params: NDArray[np.uint8]) -> _Round:
    return _Round(
        terms.round,
        terms.version_tag,
        terms.seed,
        terms.lr_mantissa,
        terms.lr_exponent,
        terms.epochs,
        terms.batch,
        terms.max_steps,
        terms.work,
        params.ctypes.data,
    )
