# SPDX-License-Identifier: Apache-2.0
"""Generated models, compiled for this machine and called in this process."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetgrad_codegen.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
STRICT = (
    "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wdouble-promotion", "-Wconversion", "-Wshadow",
)  # fmt: skip
ALIGNMENT = 8  # FG_ALIGNMENT
FG_OK = 0


def runtime_sources() -> list[Path]:
    """What generated code calls."""
    folders = (FIRMWARE / "src" / part for part in ("kernels", "train"))
    return sorted(path for folder in folders for path in folder.rglob("*.c"))


def compiler() -> str | None:
    """The host's C compiler."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def compile_objects(
    sources: Mapping[Path, Sequence[str]], directory: Path, cc: str, flags: Sequence[str]
) -> list[Path]:
    """Compiles sources, each with options of its own, under every warning there is.

    Objects are named after the source, or after its folder where it is a ``model.c``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    objects = []
    for source, options in sources.items():
        stem = source.parent.name if source.stem == "model" else source.stem
        objects.append(directory / f"{stem}.o")
        command = [cc, *STRICT, *flags, *options, f"-I{FIRMWARE / 'include'}"]
        command += ["-c", str(source), "-o", str(objects[-1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return objects


def compile_runtime(directory: Path, cc: str, flags: Sequence[str]) -> list[Path]:
    """Objects of everything that generated code calls."""
    return compile_objects(dict.fromkeys(runtime_sources(), ()), directory, cc, flags)


def compile_models(
    bundles: Sequence[Bundle], directory: Path, cc: str, flags: Sequence[str]
) -> list[Path]:
    """Objects of generated models; the descriptor of the i-th is called ``model_i``."""
    sources = {}
    for index, bundle in enumerate(bundles):
        folder = directory / f"model_{index}"
        bundle.write(folder)
        sources[folder / "model.c"] = [f"-Dfg_generated_model=model_{index}"]
    return compile_objects(sources, directory, cc, flags)


class State(ctypes.Structure):
    """``fg_model_state``."""

    _fields_ = (
        ("arena", ctypes.c_void_p),
        ("params", ctypes.c_void_p),
        ("shadow", ctypes.c_void_p),
        ("persistent", ctypes.c_void_p),
        ("measure", ctypes.c_bool),
    )


class Target(ctypes.Structure):
    """``fg_target``."""

    _fields_ = (("label", ctypes.c_uint32), ("values", ctypes.c_void_p))


class Metrics(ctypes.Structure):
    """``fg_metrics``."""

    _fields_ = (
        ("loss", ctypes.c_uint32),
        ("predicted", ctypes.c_uint32),
        ("correct", ctypes.c_bool),
    )


class StepStruct(ctypes.Structure):
    """``fg_step``."""

    _fields_ = (
        ("lr_mantissa", ctypes.c_int32),
        ("lr_exponent", ctypes.c_int32),
        ("key", ctypes.c_uint32),
    )


_STATE, _TARGET = ctypes.POINTER(State), ctypes.POINTER(Target)
_METRICS, _STEP = ctypes.POINTER(Metrics), ctypes.POINTER(StepStruct)


class ModelStruct(ctypes.Structure):
    """``fg_model``."""

    _fields_ = (
        ("abi", ctypes.c_uint32),
        ("digest", ctypes.c_uint8 * 8),
        ("arena_bytes", ctypes.c_uint32),
        ("param_bytes", ctypes.c_uint32),
        ("shadow_bytes", ctypes.c_uint32),
        ("persistent_bytes", ctypes.c_uint32),
        ("input_offset", ctypes.c_uint32),
        ("input_bytes", ctypes.c_uint32),
        ("output_offset", ctypes.c_uint32),
        ("output_bytes", ctypes.c_uint32),
        ("target_bytes", ctypes.c_uint32),
        ("batch", ctypes.c_uint32),
        ("loss", ctypes.c_int),
        ("segment_count", ctypes.c_uint32),
        ("segments", ctypes.c_void_p),
        ("initial_params", ctypes.c_void_p),
        ("range_count", ctypes.c_uint32),
        ("range_values", ctypes.POINTER(ctypes.c_uint32)),
        ("clipped_offset", ctypes.c_uint32),
        ("reset", ctypes.CFUNCTYPE(ctypes.c_int, _STATE)),
        ("forward", ctypes.CFUNCTYPE(ctypes.c_int, _STATE)),
        ("evaluate", ctypes.CFUNCTYPE(ctypes.c_int, _STATE, _TARGET, _METRICS)),
        ("accumulate", ctypes.CFUNCTYPE(ctypes.c_int, _STATE, _TARGET, ctypes.c_uint32, _METRICS)),
        ("apply", ctypes.CFUNCTYPE(ctypes.c_int, _STATE, ctypes.c_uint32, _STEP)),
        ("refresh", ctypes.CFUNCTYPE(ctypes.c_int, _STATE)),
    )


class NativeModel:
    """One model with memory of its own, filled with garbage at first as on a device.

    Attributes:
        struct: The descriptor.
        params: The parameter vector, uint8; starts as exported.
        shadow: int8 weights.
    """

    def __init__(self, library: ctypes.CDLL, symbol: str) -> None:
        self.struct = ModelStruct.in_dll(library, symbol)
        self._library = library
        self.arena = _aligned(self.struct.arena_bytes)
        self.arena[:] = 0xA5
        self.params = _aligned(self.struct.param_bytes)
        if self.struct.param_bytes:
            ctypes.memmove(
                self.params.ctypes.data, self.struct.initial_params, self.struct.param_bytes
            )
        self.shadow = _aligned(self.struct.shadow_bytes).view(np.int8)
        self.persistent = _aligned(self.struct.persistent_bytes)
        self.persistent[:] = 0xA5
        self._state = State(
            self.arena.ctypes.data,
            self.params.ctypes.data,
            self.shadow.ctypes.data,
            self.persistent.ctypes.data,
        )
        self.refresh()
        self.reset()

    def refresh(self) -> None:
        """Recomputes the shadow from the parameter vector."""
        assert self.struct.refresh(self._state) == FG_OK

    @property
    def clipped(self) -> np.ndarray:
        """The counters of ranges."""
        start, count = self.struct.clipped_offset, self.struct.range_count
        return self.persistent[start : start + 4 * count].view(np.uint32)

    @property
    def measures(self) -> bool:
        """Whether the forward pass counts outputs that their ranges cut off."""
        return bool(self._state.measure)

    @measures.setter
    def measures(self, on: bool) -> None:
        self._state.measure = on

    def reset(self) -> None:
        """Brings operators' state back to where a sequence begins."""
        assert self.struct.reset(self._state) == FG_OK

    def set_input(self, values: np.ndarray) -> None:
        """Places one sample in the arena."""
        assert values.nbytes == self.struct.input_bytes
        start = self.struct.input_offset
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self.arena[start : start + raw.size] = raw

    @property
    def output(self) -> np.ndarray:
        """A copy of the output tensor, int8 and flat."""
        start = self.struct.output_offset
        return self.arena[start : start + self.struct.output_bytes].view(np.int8).copy()

    def run(self, values: np.ndarray) -> np.ndarray:
        """Forward pass of one sample; state goes on from the last one."""
        self.set_input(values)
        assert self.struct.forward(self._state) == FG_OK
        return self.output

    def evaluate(self, values: np.ndarray, target: int | np.ndarray) -> tuple[int, int, int, bool]:
        """(status, loss, predicted, correct) of one sample."""
        return self._with_target(values, target, None)

    def accumulate(
        self, values: np.ndarray, target: int | np.ndarray, row: int
    ) -> tuple[int, int, int, bool]:
        """(status, loss, predicted, correct) of one sample; keeps row ``row`` of a batch."""
        return self._with_target(values, target, row)

    def apply(self, rows: int, lr_mantissa: int, lr_exponent: int, key: int) -> int:
        """One update; returns the status."""
        return int(self.struct.apply(self._state, rows, StepStruct(lr_mantissa, lr_exponent, key)))

    def _with_target(
        self, values: np.ndarray, target: int | np.ndarray, row: int | None
    ) -> tuple[int, int, int, bool]:
        self.set_input(values)
        vector = None if isinstance(target, int) else np.ascontiguousarray(target, np.int8)
        wanted = Target(
            target if isinstance(target, int) else 0,
            None if vector is None else vector.ctypes.data,
        )
        metrics = Metrics()
        if row is None:
            status = self.struct.evaluate(self._state, wanted, metrics)
        else:
            status = self.struct.accumulate(self._state, wanted, row, metrics)
        return int(status), metrics.loss, metrics.predicted, metrics.correct


@dataclass(frozen=True)
class Builder:
    """Compiles and loads bundles.

    Attributes:
        cc: The compiler.
        runtime: Position-independent objects of what generated code calls.
    """

    cc: str
    runtime: tuple[Path, ...]

    def load(
        self, bundles: Mapping[str, Bundle], directory: Path, *flags: str
    ) -> dict[str, NativeModel]:
        """Links bundles, by whatever name the test likes, into one shared library."""
        objects = compile_models(list(bundles.values()), directory, self.cc, ["-fPIC", *flags])
        library = directory / "models.so"
        parts = [*map(str, objects), *map(str, self.runtime)]
        subprocess.run([self.cc, "-shared", "-o", str(library), *parts], check=True)
        loaded = ctypes.CDLL(str(library))
        return {name: NativeModel(loaded, f"model_{index}") for index, name in enumerate(bundles)}


def _aligned(nbytes: int) -> np.ndarray:
    """uint8 memory at the alignment the runtime asks for."""
    raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]
