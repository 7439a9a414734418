# SPDX-License-Identifier: Apache-2.0
"""The firmware as a shared library in this process (firmware/port/virtual), with Python types."""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import ToolError

_ALIGNMENT = 8
_ABI = 3

STATUS = {
    0: "ok",
    -1: "bad argument",
    -2: "size does not fit",
    -3: "damaged",
    -4: "not the expected format",
    -5: "unknown version",
    -6: "wrong time",
    -7: "meant for another model",
    -8: "not supported by this model",
}


class _Segment(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("offset", ctypes.c_uint32), ("count", ctypes.c_uint32))


class _Model(ctypes.Structure):
    """The data of fg_model; its functions are called through the library's own entry points."""

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
    )


class _Metrics(ctypes.Structure):
    _fields_ = (
        ("loss", ctypes.c_uint32),
        ("predicted", ctypes.c_uint32),
        ("correct", ctypes.c_bool),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        ("lr_mantissa", ctypes.c_int32),
        ("lr_exponent", ctypes.c_int32),
        ("key", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one sample gave.

    Attributes:
        loss: In 1/1024 bit (cross-entropy) or 1/1024 squared output steps (squared error).
        predicted: Index of the first maximum of the output.
        correct: The prediction is the label.
    """

    loss: int
    predicted: int
    correct: bool


class KernelError(ToolError):
    """The firmware's code refused a call."""


class Library:
    """A loaded firmware library; any number of models and nodes may run on it.

    Args:
        path: A library made by ``build_image(..., app="library")``.

    Raises:
        ToolError: When it cannot be loaded or is of another version.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.raw: Any = ctypes.CDLL(str(path.resolve()))
        except OSError as error:
            raise ToolError(f"the firmware library does not load: {error}", where=str(path)) from (
                error
            )
        self.raw.fg_virtual_model.restype = ctypes.POINTER(_Model)
        for name in ("bytes", "run", "transmit"):
            getattr(self.raw, f"fg_virtual_{name}").restype = ctypes.c_size_t
        self.raw.fg_virtual_wait_ms.restype = ctypes.c_uint32
        model = self.raw.fg_virtual_model().contents
        if model.abi != _ABI:
            raise ToolError(
                f"the library's model has ABI {model.abi}",
                where=str(path),
                expected=f"ABI {_ABI}",
                hint="build it again",
            )
        self.digest = bytes(model.digest)
        self.input_bytes = int(model.input_bytes)
        self.output_bytes = int(model.output_bytes)
        self.target_bytes = int(model.target_bytes)
        self.param_bytes = int(model.param_bytes)
        self.batch = int(model.batch)
        self.bytes_per_device = int(self.raw.fg_virtual_bytes())

    def memory(self) -> ctypes.Array[ctypes.c_uint64]:
        """Fresh, aligned memory of one device."""
        return (ctypes.c_uint64 * (self.bytes_per_device // _ALIGNMENT + 1))()


def _check(status: int, doing: str) -> None:
    if status:
        meaning = STATUS.get(status, "unknown status")
        raise KernelError(f"the firmware reports {status} ({meaning}) while {doing}")


class NativeModel:
    """One model in memory of its own: inference, training steps, parameters.

    Args:
        library: The firmware library; its exported parameters are loaded.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._memory = library.memory()
        size = ctypes.c_size_t(ctypes.sizeof(self._memory))
        _check(library.raw.fg_virtual_load(self._memory, size), "loading the parameters")

    def forward(self, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """Runs the model on samples, in order: an operator's state goes on from call to call.

        Args:
            inputs: int8 [n, input_bytes], or any shape whose rows have that many values.

        Returns:
            int8 [n, output_bytes].

        Raises:
            ToolError: When the samples have another size or dtype.
            KernelError: When a kernel refuses.
        """
        rows = self._rows(inputs, self._library.input_bytes, "input")
        outputs = np.empty((len(rows), self._library.output_bytes), np.int8)
        status = self._library.raw.fg_virtual_forward(
            self._memory, _pointer(rows), _pointer(outputs), ctypes.c_uint32(len(rows))
        )
        _check(status, "running the model")
        return outputs

    def measure(self, inputs: NDArray[np.int8], ranges: int) -> NDArray[np.uint32]:
        """How many outputs of some samples the ranges cut off.

        Args:
            inputs: As `forward`.
            ranges: How many of them the model has.

        Returns:
            One number for each range.
        """
        rows = self._rows(inputs, self._library.input_bytes, "input")
        clipped = np.zeros(ranges, np.uint32)
        status = self._library.raw.fg_virtual_measure(
            self._memory,
            _pointer(rows),
            ctypes.c_uint32(len(rows)),
            ctypes.c_void_p(clipped.ctypes.data),
        )
        _check(status, "measuring ranges")
        return clipped

    def evaluate(self, sample: NDArray[np.int8], target: int | NDArray[np.int8]) -> Metrics:
        """Loss and prediction of one sample.

        Args:
            sample: int8, input_bytes values.
            target: A label, or int8 target_bytes values.

        Raises:
            ToolError: When sample or target have another size or dtype.
            KernelError: When a kernel refuses, e.g. a label out of range.
        """
        return self._one("evaluate", sample, target, ())

    def accumulate(
        self, sample: NDArray[np.int8], target: int | NDArray[np.int8], row: int
    ) -> Metrics:
        """Forward pass and loss; keeps what the update needs in row ``row`` of the batch.

        Raises:
            ToolError: As :meth:`evaluate`.
            KernelError: As :meth:`evaluate`.
        """
        return self._one("accumulate", sample, target, (ctypes.c_uint32(row),))

    def apply(self, rows: int, *, lr_mantissa: int, lr_exponent: int, key: int) -> None:
        """One update from the mean gradient of rows 0 .. rows - 1.

        Args:
            rows: How many rows were accumulated.
            lr_mantissa: 2^14 .. 2^15 - 1.
            lr_exponent: The learning rate is lr_mantissa * 2^(lr_exponent - 15).
            key: Of the step's random numbers.

        Raises:
            KernelError: When a kernel refuses.
        """
        step = _Step(lr_mantissa, lr_exponent, key)
        status = self._library.raw.fg_virtual_apply(
            self._memory, ctypes.c_uint32(rows), ctypes.byref(step)
        )
        _check(status, "updating the parameters")

    @property
    def params(self) -> bytes:
        """The parameter vector."""
        out = ctypes.create_string_buffer(max(1, self._library.param_bytes))
        self._library.raw.fg_virtual_get_params(self._memory, out)
        return out.raw[: self._library.param_bytes]

    @params.setter
    def params(self, value: bytes) -> None:
        if len(value) != self._library.param_bytes:
            raise ToolError(
                f"a parameter vector of {len(value)} bytes",
                expected=f"{self._library.param_bytes} bytes",
            )
        _check(self._library.raw.fg_virtual_set_params(self._memory, value), "taking parameters")

    def _one(
        self,
        name: str,
        sample: NDArray[np.int8],
        target: int | NDArray[np.int8],
        more: tuple[Any, ...],
    ) -> Metrics:
        row = self._rows(sample, self._library.input_bytes, "input")
        values = None
        label = 0
        if isinstance(target, np.ndarray):
            values = self._rows(target, self._library.target_bytes, "target")
        else:
            label = target
        metrics = _Metrics()
        status = getattr(self._library.raw, f"fg_virtual_{name}")(
            self._memory,
            _pointer(row),
            ctypes.c_uint32(label),
            None if values is None else _pointer(values),
            *more,
            ctypes.byref(metrics),
        )
        _check(status, f"{name.removesuffix('e')}ing a sample")
        return Metrics(metrics.loss, metrics.predicted, metrics.correct)

    @staticmethod
    def _rows(values: NDArray[np.int8], width: int, what: str) -> NDArray[np.int8]:
        if values.dtype.itemsize != 1 or width == 0 or values.size % width:
            raise ToolError(
                f"the {what} has {values.size} values of type {values.dtype}",
                expected=f"int8, {width} values each",
            )
        return np.ascontiguousarray(values).reshape(-1, width)


def _pointer(array: NDArray[np.int8]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
