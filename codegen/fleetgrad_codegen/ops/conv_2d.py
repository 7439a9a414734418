# SPDX-License-Identifier: Apache-2.0
"""CONV_2D: [1, h, w, c] with weights [o, kh, kw, c] to [1, h', w', o]."""

from math import prod

import numpy as np

from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import parse_activation
from fleetgrad_codegen.ops.convolution import (
    Convolution,
    ConvolutionOptions,
    matrix_scratch_bytes,
    tile_pixels,
)
from fleetgrad_codegen.ops.window import Axis, parse_padding, tap_view
from fleetgrad_codegen.plan.buffers import Region

_IN_PLACE_BYTES = 1024
"""About what ``fg_conv2d_in_place`` copies at a time; whole pixels, two at least."""


class Conv2D(Convolution):
    """Every output channel reads every input channel."""

    kind = "CONV_2D"
    code = 3
    options_type = 1
    channel_axis = 0
    kernel = "fg_conv2d"

    def parse(self, options: Table | None) -> ConvolutionOptions:
        """Reads the schema's Conv2DOptions."""
        table = self._require_options(options)
        return ConvolutionOptions(
            padding=parse_padding(table.i8(0)),
            stride=(table.i32(2), table.i32(1)),
            dilation=(table.i32(5, 1), table.i32(4, 1)),
            activation=parse_activation(table.i8(3)),
        )

    def _check_channels(self, graph: Graph, op: Op) -> None:
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        if weights.shape[3] != source.shape[3]:
            self._unsupported(
                graph,
                op,
                f"weights for {weights.shape[3]} channels on an input of {source.shape[3]}",
                "an ordinary convolution, not a grouped one",
            )

    def _accumulate(self, padded: Array, weights: Array, rows: Axis, columns: Axis) -> Array:
        acc = np.zeros((rows.output, columns.output, weights.shape[0]))
        for row, column in np.ndindex(rows.window, columns.window):
            acc += tap_view(padded, rows, columns, row, column) @ weights[:, row, column].T
        return acc

    def macs(self, graph: Graph, op: Op) -> int:
        """See `Operator.macs`; taps in the padding count."""
        return self._output(graph, op).size * prod(self._input(graph, op, 1).shape[1:])

    def _scratch_bytes(self, graph: Graph, op: Op) -> int:
        rows, columns = self.kernel_axes(graph, op)
        depth = self._input(graph, op, 0).shape[3]
        block = tile_pixels(graph, op, rows, columns, depth)
        return matrix_scratch_bytes(rows, columns, depth, block)

    def reuses(self, graph: Graph, op: Op) -> tuple[int, ...]:
        """Pixels depend on nothing but themselves; see `Operator.reuses`."""
        alone = all(a.window == a.stride == 1 and not a.has_border for a in self.axes(graph, op))
        return (0,) if alone and self._saves_memory(graph, op) else ()

    def scratch_in_place(self, graph: Graph, op: Op) -> Region | None:
        """See `Operator.scratch_in_place`."""
        depth = self._input(graph, op, 0).shape[3]
        copied = -(-max(2, _IN_PLACE_BYTES // depth) * depth // 4) * 4
        return Region(f"op{op.index} scratch", copied + self._scratch_bytes(graph, op))

    def _channel_fields(self, graph: Graph, op: Op) -> dict[str, int]:
        weights = self._input(graph, op, 1)
        return {
            "in_channels": weights.shape[3],
            "out_channels": weights.shape[0],
            "block": tile_pixels(graph, op, *self.kernel_axes(graph, op), weights.shape[3]),
        }
