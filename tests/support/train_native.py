# SPDX-License-Identifier: Apache-2.0
"""The C training kernels as a shared library, called with NumPy arrays."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training.fixed_point import LearningRate, Scale
from fleetgrad_codegen.training.head import Head

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "firmware/src/train").glob("*.c"))
FLAGS = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wconversion",
    "-Wdouble-promotion",
    f"-I{ROOT}/firmware/include",
]
RNG_SHIM = """
#include "fleetgrad/fg_rng.h"
uint32_t shim_round_key(uint32_t seed, uint32_t round, uint64_t id);
uint32_t shim_round_key(uint32_t seed, uint32_t round, uint64_t id) {
    return fg_round_key(seed, round, id);
}
uint32_t shim_step_key(uint32_t key, uint32_t step);
uint32_t shim_step_key(uint32_t key, uint32_t step) {
    return fg_step_key(key, step);
}
void shim_order(uint32_t key, uint32_t epoch, uint32_t count, uint32_t *indices);
void shim_order(uint32_t key, uint32_t epoch, uint32_t count, uint32_t *indices) {
    fg_order order = fg_order_begin(key, epoch, count);
    for (uint32_t i = 0; i < count; i++) {
        indices[i] = fg_order_take(&order);
    }
}
"""


class ScaleStruct(ctypes.Structure):
    _fields_ = (("mantissa", ctypes.c_int32), ("exponent", ctypes.c_int32))


class HeadStruct(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_uint32),
        ("outputs", ctypes.c_uint32),
        ("positions", ctypes.c_uint32),
        ("input_zero_point", ctypes.c_int32),
        ("relu", ctypes.c_bool),
        ("pooled", ctypes.c_bool),
        ("layer", ctypes.c_uint32),
        ("scale_stride", ctypes.c_uint32),
        ("fine", ctypes.POINTER(ScaleStruct)),
        ("rate", ctypes.POINTER(ScaleStruct)),
        ("bias_rate", ctypes.POINTER(ScaleStruct)),
        ("growth", ctypes.c_int32),
    )


class StepStruct(ctypes.Structure):
    _fields_ = (
        ("lr_mantissa", ctypes.c_int32),
        ("lr_exponent", ctypes.c_int32),
        ("key", ctypes.c_uint32),
    )


class SegmentStruct(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("offset", ctypes.c_uint32), ("count", ctypes.c_uint32))


def build(folder: Path, *flags: str, compiler: str = "cc") -> Path:
    """Compiles the kernels into a shared library."""
    shim = folder / "shim.c"
    shim.write_text(RNG_SHIM)
    library = folder / "train.so"
    command = [compiler, *FLAGS, *flags, "-shared", "-fPIC", str(shim), *map(str, SOURCES)]
    subprocess.run([*command, "-o", str(library)], check=True)
    return library


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _scales(scales: tuple[Scale, ...]) -> ctypes.Array:
    return (ScaleStruct * len(scales))(*((s.mantissa, s.exponent) for s in scales))


class NativeHead:
    """One head, with its parameters, gradients and rows in C memory."""

    def __init__(self, library: ctypes.CDLL, head: Head, samples: int) -> None:
        self.library = library
        library.fg_loss_cross_entropy.restype = ctypes.c_uint32
        library.fg_loss_squared_error.restype = ctypes.c_uint32
        library.fg_loss_binary_cross_entropy.restype = ctypes.c_uint32
        library.fg_loss_squared_error_of_chances.restype = ctypes.c_uint32
        self.head = head
        self.tables = [_scales(s) for s in (head.fine, head.rate, head.bias_rate)]
        self.struct = HeadStruct(
            head.inputs,
            head.outputs,
            head.positions,
            head.input_zero_point,
            head.relu,
            head.pooled,
            head.layer,
            int(len(head.fine) > 1),
            *self.tables,
        )
        rows = (samples, head.positions)
        self.centred = np.zeros((*rows, head.inputs), np.int16)
        self.gradient = np.zeros((*rows, head.outputs), np.int16)
        self.acc = np.zeros((head.positions, head.outputs), np.int32)
        self.scratch = np.zeros(samples * head.positions, np.int32)
        self.masters = np.zeros((head.outputs, head.inputs), np.int16)
        self.shadow = np.zeros((head.outputs, head.inputs), np.int8)
        self.bias = np.zeros(head.outputs, np.int32)

    def load(self, masters: np.ndarray, bias: np.ndarray) -> None:
        self.masters[:], self.bias[:] = masters, bias
        self.library.fg_refresh(
            _pointer(self.masters), _pointer(self.shadow), ctypes.c_uint32(self.masters.size)
        )

    def accumulate(self, row: int, x: np.ndarray, target: np.ndarray | int) -> int:
        """Forward and loss of a sample; returns the loss."""
        source = np.ascontiguousarray(x, np.int8)
        self.library.fg_head_forward(
            ctypes.byref(self.struct),
            _pointer(source),
            _pointer(self.shadow),
            _pointer(self.bias),
            _pointer(self.centred[row]),
            _pointer(self.acc),
        )
        head, sums = ctypes.byref(self.struct), (_pointer(self.acc), _pointer(self.gradient[row]))
        label, values = ctypes.c_uint32(0), None
        if self.head.classes:
            label = ctypes.c_uint32(int(target))
        else:
            made = np.ascontiguousarray(target, np.int8)
            values = _pointer(made)
        if self.head.loss is Loss.SOFTMAX_CROSS_ENTROPY:
            return self.library.fg_loss_cross_entropy(head, label, *sums)
        if self.head.loss is Loss.BINARY_CROSS_ENTROPY:
            return self.library.fg_loss_binary_cross_entropy(head, label, values, *sums)
        if self.head.logistic:
            return self.library.fg_loss_squared_error_of_chances(head, values, *sums)
        zero = ctypes.c_int32(self.head.output_zero_point)
        return self.library.fg_loss_squared_error(head, values, zero, *sums)

    def update(self, samples: int, rate: LearningRate, key: int) -> int:
        """One step; returns the status."""
        step = StepStruct(rate.mantissa, rate.exponent, key)
        return self.library.fg_head_update(
            ctypes.byref(self.struct),
            ctypes.c_uint32(samples),
            ctypes.byref(step),
            _pointer(self.centred),
            _pointer(self.gradient),
            _pointer(self.scratch),
            _pointer(self.bias),
            _pointer(self.masters),
            _pointer(self.shadow),
        )
