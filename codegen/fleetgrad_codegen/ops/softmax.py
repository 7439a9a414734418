# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX along the last dimension, with the reference's own exponential and reciprocal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.base import Operator
from fleetgrad_codegen.ops.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    Ints,
    divide_by_power_of_two,
    doubling_high_mul,
    quantize_multiplier,
)

SCALED_BITS = 5
"""Integer bits of exp()'s argument: Q5.26, so differences below -32 count as no probability."""
SUM_BITS = 12
"""Integer bits of the sum of exponentials: Q12.19, so up to 4096 classes."""


@dataclass(frozen=True, slots=True)
class SoftmaxOptions:
    """Options of SOFTMAX: softmax(beta * x)."""

    beta: float


def exp_on_negative(a: Ints) -> Ints:
    """exp() of Q5.26 values in (-32, 0], as Q0.31: a polynomial on [-1/4, 0), then factors."""
    one_quarter = 1 << 24
    rest = (a & (one_quarter - 1)) - one_quarter
    # Q0.31 from here on; the polynomial is of x + 1/8.
    x = (rest << SCALED_BITS) + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3 = doubling_high_mul(x2, x)
    x4 = doubling_high_mul(x2, x2)
    inner = doubling_high_mul(divide_by_power_of_two(x4, 2) + x3, _THIRD) + x2
    series = x + divide_by_power_of_two(inner, 1)
    result = _EXP_EIGHTH + doubling_high_mul(_EXP_EIGHTH, series)

    remainder = rest - a
    for exponent, factor in _EXP_FACTORS:
        bit = 1 << (26 + exponent)
        result = np.where(remainder & bit, doubling_high_mul(result, factor), result)
    return np.where(a == 0, INT32_MAX, result)


_THIRD = 715827883
"""1/3 as Q0.31."""
_EXP_EIGHTH = 1895147668
"""exp(-1/8) as Q0.31."""
_EXP_FACTORS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)
"""exp(-(2**exponent)) as Q0.31."""


def reciprocal(total: int) -> tuple[int, int]:
    """``1 / total`` for a positive Q12.19 number.

    Returns:
        A Q0.31 value and the right shift that still has to be applied to it.
    """
    headroom = 32 - total.bit_length()
    over_unit = SUM_BITS - headroom
    shifted = (total << headroom) - 2**31
    # Newton-Raphson for 1 / (1 + x), x in Q0.31; values of Q2.29 from here on.
    half = (shifted + 2**31) // 2
    value = _48_17 + int(doubling_high_mul(half, _MINUS_32_17))
    for _ in range(3):
        error = 2**29 - int(doubling_high_mul(half, value))
        value += _saturate(int(doubling_high_mul(value, error)) << 2)
    return _saturate(value << 1), over_unit


def _saturate(value: int) -> int:
    return min(max(value, INT32_MIN), INT32_MAX)


_48_17 = 1515870810
"""48/17 as Q2.29, with the next one the best linear start for Newton-Raphson."""
_MINUS_32_17 = -1010580540
"""-32/17 as Q2.29."""


@dataclass(frozen=True, slots=True)
class _Format:
    """An output that stretches over [0, 1).

    Attributes:
        bits: Of an element: the scale is 2**-bits.
        tolerance: Largest relative error of the scale that a file may have.
    """

    bits: int
    tolerance: float

    @property
    def lowest(self) -> int:
        """The smallest value, which is the zero point, too."""
        return -(1 << (self.bits - 1))


_FORMATS = {DType.INT8: _Format(8, 0.0), DType.INT16: _Format(16, 1e-3)}
"""Old exporters wrote 1/65535 as the scale of int16."""


class Softmax(Operator):
    """exp(x - max) / sum, with scale 1/256 and zero point -128 at the output.

    An output of int16 is for the host: twice as many bytes of the same order.
    """

    kind = "SOFTMAX"
    code = 25
    in_place = (0,)
    options_type = 9

    def parse(self, options: Table | None) -> SoftmaxOptions:
        """Reads the schema's SoftmaxOptions."""
        return SoftmaxOptions(options.f32(0) if options else 0.0)

    def exponentials(self, graph: Graph, op: Op) -> Ints:
        """exp() of every possible difference to the maximum.

        Returns:
            int64 array of 256 Q0.31 values; element d belongs to a difference of -d. Differences
            too large to count have 0.
        """
        scale = self._check_int8(graph, op, self._input(graph, op, 0)).scale[0]
        beta = cast("SoftmaxOptions", op.options).beta
        made = quantize_multiplier(min(beta * scale * 2 ** (31 - SCALED_BITS), 2.0**31 - 1))
        # Differences that would leave Q5.26 are not looked at.
        largest = math.floor((2**SCALED_BITS - 1) * 2.0 ** (31 - SCALED_BITS) / 2.0**made.shift)
        differences = np.arange(256, dtype=np.int64)
        kept = np.minimum(differences, largest)
        scaled = doubling_high_mul(-kept << made.shift, made.value)
        return np.where(differences <= largest, exp_on_negative(scaled), 0)

    def on_host(self, graph: Graph, op: Op) -> bool:
        """See `Operator.on_host`."""
        return self._output(graph, op).dtype is DType.INT16

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        scale = self._check_int8(graph, op, source).scale[0]
        if output.dtype is not DType.INT16:
            self._check_int8(graph, op, output)
        target, made = self._check_quantized(graph, op, output), _FORMATS[output.dtype]
        self._check_shape(graph, op, source.shape)
        off = abs(target.scale[0] * 2**made.bits - 1)
        if target.per_channel or off > made.tolerance or target.zero_point != (made.lowest,):
            self._malformed(
                graph,
                op,
                f"output scale {target.scale[0]:g}, zero point {target.zero_point[0]}",
                f"scale 1/{2**made.bits}, zero point {made.lowest}",
            )
        if not source.shape or source.shape[-1] >= 2**SUM_BITS:
            self._unsupported(graph, op, f"a softmax over shape {source.shape}", "1..4095 classes")
        beta = cast("SoftmaxOptions", op.options).beta
        if not beta * scale * 2 ** (31 - SCALED_BITS) > 1:
            self._unsupported(
                graph, op, f"beta {beta:g} times input scale {scale:g}", "more than 2**-26"
            )

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        table = self.exponentials(graph, op)
        values = inputs[0].reshape(-1, inputs[0].shape[-1]).astype(np.int64)
        output = self._output(graph, op)
        made = _FORMATS[output.dtype]
        result = np.empty(values.shape, output.dtype.numpy)
        for row, target in zip(values, result, strict=True):
            exponentials = table[row.max() - row]
            total = int(divide_by_power_of_two(exponentials, SUM_BITS).sum())
            scale, over_unit = reciprocal(total)
            product = doubling_high_mul(scale, exponentials)
            share = divide_by_power_of_two(product, over_unit + 31 - made.bits)
            target[:] = np.clip(share + made.lowest, made.lowest, -made.lowest - 1)
        return [result.reshape(inputs[0].shape)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        source = self._input(graph, op, 0)
        table = np.trim_zeros(self.exponentials(graph, op), "b").astype(np.int32)
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_softmax_params",
            f"op{op.index}_params",
            {
                "rows": source.size // source.shape[-1],
                "classes": source.shape[-1],
                "exponential": body.table(f"op{op.index}_exponential", table),
                "differences": table.size,
            },
        )
        pointer = self._pointer(graph, op, 0, body)
        body.call("fg_softmax", params, pointer, body.value(op.outputs[0], "int8_t"))
