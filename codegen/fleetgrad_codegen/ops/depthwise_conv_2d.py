# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D: [1, h, w, c] with weights [1, kh, kw, c * m] to [1, h', w', c * m]."""

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import parse_activation
from fleetgrad_codegen.ops.conv_2d import Conv2D
from fleetgrad_codegen.ops.convolution import (
    Convolution,
    ConvolutionOptions,
    matrix_scratch_bytes,
    tile_pixels,
)
from fleetgrad_codegen.ops.window import Axis, parse_padding, tap_view
from fleetgrad_codegen.plan.buffers import Region

_IN_PLACE_LANES = 16
"""``FG_IN_PLACE_LANES``."""
_PLANES, _PLANE_ROOM = 8, 16
"""Channels of a strip with vectors, and ``FG_PLANE_ROOM``."""
_VECTOR, _LONGEST = 16, 64
"""Bytes of a vector, and of a filter that stays in registers."""


class DepthwiseConv2D(Convolution):
    """One filter per output channel; output channel ``c * m + i`` reads input channel ``c``."""

    kind = "DEPTHWISE_CONV_2D"
    code = 4
    options_type = 2
    channel_axis = 3
    kernel = "fg_depthwise_conv2d"

    def parse(self, options: Table | None) -> ConvolutionOptions:
        """Reads the schema's DepthwiseConv2DOptions; the multiplier follows from the shapes."""
        table = self._require_options(options)
        return ConvolutionOptions(
            padding=parse_padding(table.i8(0)),
            stride=(table.i32(2), table.i32(1)),
            dilation=(table.i32(6, 1), table.i32(5, 1)),
            activation=parse_activation(table.i8(4)),
        )

    def multiplier(self, graph: Graph, op: Op) -> int:
        """Output channels per input channel."""
        return self._input(graph, op, 1).shape[3] // self._input(graph, op, 0).shape[3]

    def _check_channels(self, graph: Graph, op: Op) -> None:
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        if weights.shape[0] != 1 or weights.shape[3] % source.shape[3]:
            self._malformed(
                graph,
                op,
                f"weights of shape {weights.shape} on an input of {source.shape[3]} channels",
                f"shape (1, height, width, a multiple of {source.shape[3]})",
            )

    def _accumulate(self, padded: Array, weights: Array, rows: Axis, columns: Axis) -> Array:
        channels = weights.shape[3]
        acc = np.zeros((rows.output, columns.output, channels))
        spread = np.repeat(padded, channels // padded.shape[2], axis=2)
        for row, column in np.ndindex(rows.window, columns.window):
            acc += tap_view(spread, rows, columns, row, column) * weights[0, row, column]
        return acc

    def macs(self, graph: Graph, op: Op) -> int:
        """See `Operator.macs`; taps in the padding count."""
        _, height, width, _ = self._input(graph, op, 1).shape
        return self._output(graph, op).size * height * width

    def _is_matrix(self, graph: Graph, op: Op) -> bool:
        # Several filters on a single channel are an ordinary convolution, which is much faster.
        return self._input(graph, op, 0).shape[3] == 1 and self.multiplier(graph, op) > 1

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        if self._is_matrix(graph, op):
            channels = {
                "in_channels": 1,
                "out_channels": self.multiplier(graph, op),
                "block": tile_pixels(graph, op, *self.kernel_axes(graph, op), 1),
            }
            params = self._params(graph, op, body, Conv2D.kernel, channels)
            self._emit_call(graph, op, body, Conv2D.kernel, params)
        else:
            super().emit(graph, op, body)

    def _arranged(self, graph: Graph, op: Op, weights: Array) -> Array:
        return np.moveaxis(weights, 3, 0) if self._is_matrix(graph, op) else weights

    def _scratch_bytes(self, graph: Graph, op: Op) -> int:
        return self._scratch_of(graph, op, self._input(graph, op, 0).shape[3])

    def _scratch_of(self, graph: Graph, op: Op, depth: int) -> int:
        """What so many input channels need."""
        rows, columns = self.kernel_axes(graph, op)
        if self._is_matrix(graph, op):
            block = tile_pixels(graph, op, rows, columns, depth)
            return matrix_scratch_bytes(rows, columns, depth, block)
        # A patch of all channels; or of four channels every row that a window sees, border
        # included, and their filters, twice, as int16; or the same rows of eight channels with
        # room to move, and their filters in whole vectors. Which one depends on the processor.
        taps = rows.window * columns.window
        patch = taps * depth if rows.has_border or columns.has_border else 0
        if self.multiplier(graph, op) != 1:
            return patch
        seen = (columns.output - 1) * columns.stride + columns.reach
        pairs = 4 * rows.window * seen + 16 * taps
        return max(patch, pairs, _PLANES * (rows.window * seen + _PLANE_ROOM + _whole(taps)))

    def reuses(self, graph: Graph, op: Op) -> tuple[int, ...]:
        """Channels depend on nothing but themselves; see `Operator.reuses`."""
        rows, columns = self.kernel_axes(graph, op)
        follows = all(a.output <= a.size and a.stride <= a.reach for a in (rows, columns))
        possible = follows and self.multiplier(graph, op) == 1
        return (0,) if possible and self._saves_memory(graph, op) else ()

    def _copied_bytes(self, graph: Graph, op: Op) -> int:
        rows, columns = self.kernel_axes(graph, op)
        seen = min(rows.reach, rows.size) * columns.size
        return _IN_PLACE_LANES * (rows.window * columns.window + seen + columns.output)

    def scratch_in_place(self, graph: Graph, op: Op) -> Region | None:
        """See `Operator.scratch_in_place`."""
        lanes = min(_IN_PLACE_LANES, self._input(graph, op, 0).shape[3])
        nbytes = self._copied_bytes(graph, op) + self._scratch_of(graph, op, lanes)
        return Region(f"op{op.index} scratch", nbytes)

    def _channel_fields(self, graph: Graph, op: Op) -> dict[str, int]:
        channels = self._input(graph, op, 0).shape[3]
        return {"in_channels": channels, "multiplier": self.multiplier(graph, op)}


class PlainDepthwiseConv2D(DepthwiseConv2D):
    """The same by its own kernel alone: one that reads weights in the order in which they train."""

    def _is_matrix(self, graph: Graph, op: Op) -> bool:  # noqa: ARG002
        return False


def _whole(taps: int) -> int:
    """Bytes of a filter in whole vectors: one, two, four, or more than four."""
    if 2 * _VECTOR < taps <= _LONGEST:
        return _LONGEST
    return -(-taps // _VECTOR) * _VECTOR
