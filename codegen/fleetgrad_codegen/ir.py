# SPDX-License-Identifier: Apache-2.0
"""The model between frontend and code: tensors, operators, a graph; no behaviour of any operator.

Everything is immutable. Constant arrays are read-only NumPy views, so a graph may be shared freely.
The batch dimension is 1 everywhere.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ABSENT = -1
"""Stands for an optional operator input that is not there, such as a missing bias."""


class DType(StrEnum):
    """Element types a tensor may have; the values are NumPy's names."""

    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype of the same name."""
        return np.dtype(self.value)

    @property
    def itemsize(self) -> int:
        """Size of one element in bytes."""
        return self.numpy.itemsize


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale * (quantised - zero_point), per tensor or per slice along ``axis``.

    Attributes:
        scale: One or ``shape[axis]`` positive scales: float32 values, held in Python floats.
        zero_point: As many zero points as scales.
        axis: The dimension that the scales run along; 0 where there is only one.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return len(self.scale) > 1


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named array: a constant (``data`` is set) or a value computed at run time.

    Attributes:
        name: As in the source file; need not be unique.
        shape: Concrete dimensions; () is a scalar.
        dtype: Element type.
        quantization: None for float tensors and for index-like integers.
        data: Read-only array of ``shape`` and ``dtype``, or None.
        source: Index of the tensor in the source file, or None when it was made up here.
        variable: Keeps its value from one run of the model to the next; an operator's state.
        range: Which exponent of the range table its scale grows by; None: its scale is constant.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None
    data: Array | None = None
    source: int | None = None
    variable: bool = False
    range: int | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def is_constant(self) -> bool:
        """Whether the value is known before the model runs."""
        return self.data is not None


@dataclass(frozen=True, slots=True)
class Op:
    """One operator.

    Attributes:
        kind: The operator's name in the TFLite schema, such as ``CONV_2D``.
        inputs: Tensor indices into the graph; ``ABSENT`` where an optional input is missing.
        outputs: Tensor indices into the graph.
        options: The operator's own frozen dataclass, as made by its ``parse``.
        index: Position in the source file; what error messages name.
        intermediates: Tensors that only tell scales of values inside of the operator.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: object
    index: int
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A model: operators in an order that can be executed.

    Attributes:
        name: What the user calls the model.
        tensors: All tensors; operators refer to them by position.
        ops: Operators, each after the producers of its inputs.
        inputs: Tensors that the caller provides.
        outputs: Tensors that the caller gets.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def where(self, op: Op) -> str:
        """How error messages name an operator: ``op 3 (CONV_2D -> "conv2/Relu")``."""
        made = f' -> "{self.tensors[op.outputs[0]].name}"' if op.outputs else ""
        return f"op {op.index} ({op.kind}{made})"
