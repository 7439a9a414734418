# SPDX-License-Identifier: Apache-2.0
"""UNIDIRECTIONAL_SEQUENCE_LSTM, int8 with an int16 cell: a whole sequence at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import frexp
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import ABSENT, Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs, gate_functions
from fleetgrad_codegen.ops.fixed_point import (
    SCALED_LIMIT,
    Ints,
    Multiplier,
    divide_by_power_of_two,
    quantize_multiplier,
    scale_twice,
    wrap_int32,
)
from fleetgrad_codegen.ops.stateful import Stateful

GATES = ("input", "forget", "cell", "output")
"""In the order of their weights; without an input gate it is 1 - forget."""
_INPUT_WEIGHTS, _RECURRENT_WEIGHTS, _BIAS = 1, 5, 12
_HIDDEN, _CELL = 18, 19
_BEYOND = {
    **dict.fromkeys((9, 10, 11), "peepholes"),
    **dict.fromkeys((16, 17), "a projection"),
    **dict.fromkeys((20, 21, 22, 23), "layer normalisation"),
}
_TANH = 4
_Q3_12 = 2.0**-12
"""Scale of what goes into the gates' functions."""


@dataclass(frozen=True, slots=True)
class LstmOptions:
    """Options of UNIDIRECTIONAL_SEQUENCE_LSTM.

    Attributes:
        cell_clip: Largest magnitude of the cell, in real units; 0 for no limit.
        time_major: Whether time is the first dimension and the batch the second.
    """

    cell_clip: float
    time_major: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A matrix product that goes into a gate.

    Attributes:
        weights: int8 [cells, n].
        bias: int64 [cells], the zero point of what is multiplied folded in.
        scale: From sums to Q3.12.
    """

    weights: Array
    bias: Ints
    scale: Multiplier


class UnidirectionalSequenceLstm(Stateful):
    """Gates in 16 bits: both products of a gate are scaled, rounded and saturated one by one."""

    kind = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    code = 44
    options_type = 71
    arity = (1, 24)
    state = (_HIDDEN, _CELL)

    def parse(self, options: Table | None) -> LstmOptions:
        """Reads the schema's UnidirectionalSequenceLSTMOptions."""
        table = self._require_options(options)
        if table.i8(0) != _TANH:
            raise UnsupportedError(f"activation {table.i8(0)}", expected=f"{_TANH} (TANH)")
        if table.boolean(5):
            raise UnsupportedError("diagonal recurrent weights", expected="a matrix")
        return LstmOptions(table.f32(1), table.boolean(3))

    def gates(self, graph: Graph, op: Op) -> Mapping[str, tuple[_Part, _Part]]:
        """Per gate that there is: the product with the input, the one with the last output."""
        source, hidden = self._input(graph, op, 0), self._input(graph, op, _HIDDEN)
        made = {}
        for place, name in enumerate(GATES):
            if op.inputs[_INPUT_WEIGHTS + place] == ABSENT:
                continue
            parts = []
            for start, factor in ((_INPUT_WEIGHTS, source), (_RECURRENT_WEIGHTS, hidden)):
                tensor = self._input(graph, op, start + place)
                weights = self._constant(graph, op, start + place, "weights")
                scale = self._float32_factor(graph, op, (tensor, factor), _Q3_12)
                zero = c_structs.zero_point(factor)
                bias = -zero * weights.astype(np.int64).sum(axis=1)
                if factor is source:
                    bias = bias + self._constant(graph, op, _BIAS + place, "bias values")
                parts.append(_Part(weights, bias, quantize_multiplier(scale)))
            made[name] = (parts[0], parts[1])
        return made

    def cell_exponent(self, graph: Graph, op: Op) -> int:
        """The cell's scale as a power of two.

        Raises:
            UnsupportedError: It is none, or one that the 16-bit functions cannot take.
        """
        scale = self._check_quantized(graph, op, self._input(graph, op, _CELL)).scale[0]
        significand, exponent = frexp(scale)
        if significand != 0.5 or not -15 <= exponent - 1 <= -9:
            self._unsupported(
                graph, op, f"a cell scale of {scale:g}", "a power of two, 2**-15 to 2**-9"
            )
        return exponent - 1

    def clip(self, graph: Graph, op: Op) -> int:
        """Largest magnitude of the quantised cell; 0 for no limit."""
        scale = np.float32(self._check_quantized(graph, op, self._input(graph, op, _CELL)).scale[0])
        limit = float(np.float32(cast("LstmOptions", op.options).cell_clip) / scale)
        return int(min(limit, 32767.0)) if limit > 0 else 0

    def hidden_multiplier(self, graph: Graph, op: Op) -> Multiplier:
        """From output gate times tanh(cell) to the output; the factor is a float32."""
        scale = self._check_int8(graph, op, self._output(graph, op)).scale[0]
        return quantize_multiplier(float(np.float32(2.0**-15 / scale * 2.0**-15)))

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        if len(op.inputs) not in (20, 24):
            self._malformed(graph, op, f"{len(op.inputs)} inputs", "20 or 24")
        for position, what in _BEYOND.items():
            if position < len(op.inputs) and op.inputs[position] != ABSENT:
                self._unsupported(
                    graph, op, what, "a plain LSTM", "build the model with keras.layers.LSTM"
                )
        source, output = self._input(graph, op, 0), self._output(graph, op)
        self._check_int8(graph, op, source)
        self._check_int8(graph, op, output)
        self._check_rank(graph, op, source, 3)
        batch_axis = 1 if cast("LstmOptions", op.options).time_major else 0
        if source.shape[batch_axis] != 1:
            self._unsupported(graph, op, f"a batch of {source.shape[batch_axis]}", "one sample")
        cells = output.shape[-1] if output.shape else 0
        self._check_shape(graph, op, (*source.shape[:2], cells))
        self._check_gates(graph, op, source.shape[2], cells)
        hidden = self._check_state(graph, op, _HIDDEN, cells, (DType.INT8,))
        self._check_state(graph, op, _CELL, cells, (DType.INT16,))
        self._check_hidden(graph, op, hidden.scale, hidden.zero_point)
        self.cell_exponent(graph, op)
        self._check_overflow(graph, op)

    def _check_gates(self, graph: Graph, op: Op, inputs: int, cells: int) -> None:
        for place, name in enumerate(GATES):
            positions = [start + place for start in (_INPUT_WEIGHTS, _RECURRENT_WEIGHTS, _BIAS)]
            given = [op.inputs[position] != ABSENT for position in positions]
            if not any(given) and name == "input":
                continue
            if not all(given):
                self._malformed(graph, op, f"the {name} gate is incomplete", "weights and bias")
            shapes = ((cells, inputs), (cells, cells), (cells,))
            for position, shape in zip(positions, shapes, strict=True):
                tensor = self._input(graph, op, position)
                self._constant(graph, op, position, "weights")
                dtype = DType.INT32 if len(shape) == 1 else DType.INT8
                if tensor.dtype is not dtype:
                    self._unsupported(graph, op, f'"{tensor.name}" is {tensor.dtype}', f"{dtype}")
                if tensor.shape != shape:
                    self._malformed(
                        graph, op, f'"{tensor.name}" has shape {tensor.shape}', f"shape {shape}"
                    )
                if len(shape) == 1:
                    continue
                quantization = self._check_quantized(graph, op, tensor)
                if quantization.per_channel or quantization.zero_point[0]:
                    self._unsupported(
                        graph,
                        op,
                        f'weights "{tensor.name}" have {len(quantization.scale)} scales, zero '
                        f"point {quantization.zero_point[0]}",
                        "one scale, zero point 0",
                    )

    def _check_hidden(
        self, graph: Graph, op: Op, scale: tuple[float, ...], zero: tuple[int, ...]
    ) -> None:
        """Output, last output, and LiteRT's intermediate of the same meaning agree.

        Interpreters differ in which of them they take the scale from.
        """
        same = [self._output(graph, op), *(graph.tensors[i] for i in op.intermediates[4:5])]
        for tensor in same:
            found = tensor.quantization
            if found is None or (found.scale, found.zero_point) != (scale, zero):
                self._unsupported(
                    graph,
                    op,
                    f'"{tensor.name}" and the output state are quantised differently',
                    "the same scale and zero point",
                )

    def _check_overflow(self, graph: Graph, op: Op) -> None:
        for name, parts in self.gates(graph, op).items():
            for part in parts:
                # What is multiplied is raw int8: its zero point is part of the bias.
                size = 128 * np.abs(part.weights.astype(np.int64)).sum(axis=1) + np.abs(part.bias)
                largest = int(size.max())
                scaled = largest * 2.0**part.scale.shift
                if largest >= 2**31 or scaled >= SCALED_LIMIT:
                    self._unsupported(
                        graph,
                        op,
                        f"the {name} gate can overflow: its sum may reach {largest}, scaled "
                        f"{scaled:g}",
                        f"less than 2**31, scaled {SCALED_LIMIT}",
                        "check the calibration data: some scale is far too small",
                    )
        if self.hidden_multiplier(graph, op).shift > 0:
            self._unsupported(graph, op, "the output scale is tiny", "above 2**-30")

    def macs(self, graph: Graph, op: Op) -> int:
        """See `Operator.macs`."""
        weights = sum(
            part.weights.size for parts in self.gates(graph, op).values() for part in parts
        )
        source = self._input(graph, op, 0)
        return int(weights) * (source.shape[0] * source.shape[1])

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`; the last output and the cell follow the output."""
        output = self._output(graph, op)
        gates = self.gates(graph, op)
        hidden = inputs[_HIDDEN].reshape(-1).astype(np.int64)
        cell = inputs[_CELL].reshape(-1).astype(np.int64)
        exponent, clip = self.cell_exponent(graph, op), self.clip(graph, op)
        factor, zero = self.hidden_multiplier(graph, op), c_structs.zero_point(output)
        made = []
        for x in inputs[0].reshape(-1, inputs[0].shape[2]).astype(np.int64):
            sums = {name: _gate(parts, x, hidden) for name, parts in gates.items()}
            forget = gate_functions.logistic(sums["forget"])
            if "input" in sums:
                entering = gate_functions.logistic(sums["input"])
            else:
                entering = gate_functions.INT16_MAX - forget
            candidate = entering * gate_functions.tanh(sums["cell"], 3)
            cell = _int16(
                divide_by_power_of_two(forget * cell, 15)
                + divide_by_power_of_two(candidate, 30 + exponent)
            )
            if clip:
                cell = np.clip(cell, -clip, clip)
            leaving = gate_functions.logistic(sums["output"])
            shown = leaving * gate_functions.tanh(cell, 15 + exponent)
            hidden = np.clip(scale_twice(shown, factor.value, factor.shift) + zero, -128, 127)
            made.append(hidden)
        result = np.stack(made).astype(np.int8).reshape(output.shape)
        return [
            result,
            hidden.astype(np.int8).reshape(inputs[_HIDDEN].shape),
            cell.astype(np.int16).reshape(inputs[_CELL].shape),
        ]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        gates = self.gates(graph, op)
        body.include(c_structs.KERNELS)
        rows = [_gate_struct(op, name, parts, body) for name, parts in gates.items()]
        exponent = self.cell_exponent(graph, op)
        params = body.struct(
            "fg_lstm_params",
            f"op{op.index}_params",
            {
                "steps": source.shape[0] * source.shape[1],
                "inputs": source.shape[2],
                "cells": output.shape[2],
                "gates": body.structs("fg_lstm_gate", f"op{op.index}_gates", rows),
                "gate_count": len(rows),
                "cell_bits": 15 + exponent,
                "clip": self.clip(graph, op),
                "scale": c_structs.scale(self.hidden_multiplier(graph, op)),
                "output": c_structs.output(output, (-128, 127)),
            },
        )
        body.call(
            "fg_lstm",
            params,
            self._pointer(graph, op, 0, body),
            body.variable(op.inputs[_HIDDEN], "int8_t"),
            body.variable(op.inputs[_CELL], "int16_t"),
            body.value(op.outputs[0], "int8_t"),
        )


def _int16(values: Ints) -> Ints:
    made: Ints = np.clip(values, gate_functions.INT16_MIN, gate_functions.INT16_MAX)
    return made


def _gate(parts: tuple[_Part, _Part], x: Ints, hidden: Ints) -> Ints:
    total: Ints = np.zeros(len(parts[0].bias), np.int64)
    for part, values in zip(parts, (x, hidden), strict=True):
        sums = part.weights.astype(np.int64) @ values + part.bias
        total = _int16(total + scale_twice(sums, part.scale.value, part.scale.shift))
    return total


def _gate_struct(
    op: Op, name: str, parts: tuple[_Part, _Part], body: Body
) -> Mapping[str, str | int]:
    fields: dict[str, str | int] = {}
    for kind, part in zip(("input", "recurrent"), parts, strict=True):
        prefix = f"op{op.index}_{name}_{kind}"
        bias = wrap_int32(part.bias).astype(np.int32)
        fields[f"{kind}_weights"] = body.table(f"{prefix}_weights", part.weights)
        fields[f"{kind}_bias"] = body.table(f"{prefix}_bias", bias)
        fields[f"{kind}_scale"] = c_structs.scale(part.scale)
    return fields
