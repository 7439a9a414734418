# SPDX-License-Identifier: Apache-2.0
"""Runs a model on an emulated board and counts the instructions of every call.

The bench firmware (firmware/app/bench) finds its job in memory and writes its result through
semihosting. Under ``-icount`` the board's clock is a function of the instructions executed, so the
ticks it reads are instructions, exactly repeatable. They are not the cycles of a real core.
"""

import struct
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetgrad.boards import Board
from fleetgrad.errors import DataError, ToolError
from fleetgrad.toolchain.emulator import ICOUNT_SHIFT, bench_command
from fleetgrad.toolchain.image import Image

_JOB_MAGIC, _RESULT_MAGIC, _VERSION = 0x4A424746, 0x52424746, 1
_FORWARD, _TRAIN = 1, 2
_JOB = struct.Struct("<9Ii2I")
_TRAILER = struct.Struct("<2Ii5I")
_STEP = struct.Struct("<3Q")
_INSTRUCTIONS_PER_ROUND = 2  # of the calibration loop


@dataclass(frozen=True)
class ForwardResult:
    """What a number of inferences gave.

    Attributes:
        outputs: int8 [n, output_bytes].
        instructions: Of each inference.
        stack_bytes: Deepest use of the stack, the bench's own frames included.
    """

    outputs: NDArray[np.int8]
    instructions: tuple[int, ...]
    stack_bytes: int


@dataclass(frozen=True)
class TrainResult:
    """What a number of training steps gave.

    Attributes:
        losses: Sum over the rows of each step, in the unit of fg_metrics.
        accumulate_instructions: Of each step: forward passes, losses and gradients of its rows.
        apply_instructions: Of each step: the update.
        params: The parameter vector afterwards.
        stack_bytes: Deepest use of the stack, the bench's own frames included.
    """

    losses: tuple[int, ...]
    accumulate_instructions: tuple[int, ...]
    apply_instructions: tuple[int, ...]
    params: bytes
    stack_bytes: int

    @property
    def instructions(self) -> tuple[int, ...]:
        """Of each step in all."""
        pairs = zip(self.accumulate_instructions, self.apply_instructions, strict=True)
        return tuple(rows + update for rows, update in pairs)


@dataclass(frozen=True)
class TrainingJob:
    """Training steps to run.

    Attributes:
        steps: How many.
        rows: Samples per step; they are taken one after the other, over and over.
        lr_mantissa: 2^14 .. 2^15 - 1.
        lr_exponent: The learning rate is lr_mantissa * 2^(lr_exponent - 15).
        round_key: Root of the steps' random numbers.
    """

    steps: int
    rows: int
    lr_mantissa: int
    lr_exponent: int
    round_key: int


def bench_forward(
    board: Board,
    image: Image,
    inputs: NDArray[np.int8],
    *,
    output_bytes: int,
    params: bytes = b"",
    timeout_s: float = 600.0,
) -> ForwardResult:
    """Runs one inference per sample.

    Args:
        board: The emulated board.
        image: Its bench firmware.
        inputs: int8 [n, input_bytes].
        output_bytes: Of the model's output.
        params: Parameter vector to use; empty for the exported one.
        timeout_s: Until the emulator is given up.

    Raises:
        ToolError: When the emulator is missing, fails or takes too long, or a kernel refuses.
        DataError: When the samples do not fit the board's memory.
    """
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    job = _JOB.pack(
        _JOB_MAGIC, _VERSION, _FORWARD, len(rows), 0, len(rows), 0, 0, 0, 0, 0, len(params)
    )
    body, rate, stack = _run(board, image, job + params + rows.tobytes(), timeout_s)
    records = np.frombuffer(body, np.dtype([("ticks", "<u8"), ("out", "i1", (output_bytes,))]))
    _expect(len(records), len(rows), image)
    outputs = np.ascontiguousarray(records["out"])
    return ForwardResult(outputs, tuple(rate.count(int(t)) for t in records["ticks"]), stack)


def bench_training(
    board: Board,
    image: Image,
    inputs: NDArray[np.int8],
    targets: NDArray[np.int8] | NDArray[np.uint32],
    job: TrainingJob,
    *,
    params: bytes = b"",
    timeout_s: float = 600.0,
) -> TrainResult:
    """Runs training steps.

    Args:
        board: The emulated board.
        image: Its bench firmware.
        inputs: int8 [n, input_bytes].
        targets: Labels, uint32 [n], or vectors, int8 [n, target_bytes].
        job: The steps.
        params: Parameter vector to start from; empty for the exported one.
        timeout_s: Until the emulator is given up.

    Raises:
        ToolError: When the emulator is missing, fails or takes too long, or a kernel refuses.
        DataError: When the samples do not fit the board's memory.
    """
    labels = targets.ndim == 1
    wanted = np.ascontiguousarray(targets, dtype="<u4" if labels else np.int8)
    head = _JOB.pack(
        _JOB_MAGIC,
        _VERSION,
        _TRAIN,
        job.steps,
        job.rows,
        len(inputs),
        wanted.nbytes // len(wanted),
        int(labels),
        job.lr_mantissa,
        job.lr_exponent,
        job.round_key,
        len(params),
    )
    payload = head + params + np.ascontiguousarray(inputs).tobytes() + wanted.tobytes()
    body, rate, stack = _run(board, image, payload, timeout_s)
    split = job.steps * _STEP.size
    _expect(min(len(body), split), split, image)
    steps = list(_STEP.iter_unpack(body[:split]))
    return TrainResult(
        losses=tuple(step[2] for step in steps),
        # Every row is measured by itself, so the clock is read that often.
        accumulate_instructions=tuple(rate.count(step[0], job.rows) for step in steps),
        apply_instructions=tuple(rate.count(step[1]) for step in steps),
        params=body[split:],
        stack_bytes=stack,
    )


@dataclass(frozen=True)
class _Rate:
    """How ticks become instructions: ``ticks`` of the clock go by in ``instructions``."""

    ticks: int
    instructions: int
    overhead_ticks: int

    def count(self, ticks: int, readings: int = 1) -> int:
        """Instructions between pairs of clock readings, without the readings themselves."""
        own = ticks - readings * self.overhead_ticks
        return round(Fraction(own * self.instructions, self.ticks))


def _expect(found: int, wanted: int, image: Image) -> None:
    if found != wanted:
        raise ToolError(
            f"the bench firmware wrote {found} records",
            where=str(image.path),
            expected=f"{wanted}",
        )


def _run(board: Board, image: Image, job: bytes, timeout_s: float) -> tuple[bytes, _Rate, int]:
    """The result's body, the clock's rate, and the stack's high-water mark."""
    room = board.qemu.job_bytes if board.qemu else 0
    if len(job) > room:
        raise DataError(
            f"a job of {len(job)} bytes",
            where=board.id,
            expected=f"at most {room} bytes",
            hint="fewer samples at a time",
        )
    with tempfile.TemporaryDirectory(prefix="fleetgrad-bench-") as folder:
        source, result = Path(folder) / "job.bin", Path(folder) / "result.bin"
        source.write_bytes(job)
        command = bench_command(board, image.path, source, result)
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"the emulated board computed for more than {timeout_s:.0f} s",
                where=str(image.path),
                hint="fewer samples or steps at a time",
            ) from error
        data = result.read_bytes() if result.exists() else b""
        if done.returncode != 0 or len(data) < _TRAILER.size:
            raise ToolError(
                f"the emulated board stopped with exit code {done.returncode}"
                + (f": {done.stderr.strip()}" if done.stderr.strip() else ""),
                where=str(image.path),
            )
    magic, version, status, loop, overhead, rounds, stack, _ = _TRAILER.unpack(
        data[-_TRAILER.size :]
    )
    if (magic, version) != (_RESULT_MAGIC, _VERSION) or loop == 0:
        raise ToolError("the bench firmware wrote no result", where=str(image.path))
    if status != 0:
        raise ToolError(f"the firmware reports {status} on {board.id}", where=str(image.path))
    return data[: -_TRAILER.size], _rate(board, loop, rounds, overhead), stack


def _rate(board: Board, loop_ticks: int, rounds: int, overhead_ticks: int) -> _Rate:
    """The clock's exact rate, and a look whether the board really counts that way."""
    timer_hz = board.qemu.timer_hz if board.qemu else 0
    rate = Fraction(timer_hz * 2**ICOUNT_SHIFT, 10**9)
    expected = rate * _INSTRUCTIONS_PER_ROUND * rounds
    if abs(loop_ticks - expected) > 2:
        raise ToolError(
            f"a loop of known length took {loop_ticks} ticks: instructions cannot be counted",
            where=board.id,
            expected=f"{float(expected):.1f} ticks",
            hint="is qemu.timer_hz of the board right, and this QEMU one with -icount?",
        )
    return _Rate(rate.numerator, rate.denominator, overhead_ticks)
