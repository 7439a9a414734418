# SPDX-License-Identifier: Apache-2.0
"""Gradients of poolings whose windows overlap, or average over the border."""

from collections.abc import Mapping

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, SumRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.average_pool_2d import AveragePool2D
from fleetgrad_codegen.ops.max_pool_2d import MaxPool2D
from fleetgrad_codegen.ops.window import Axis, tap_view
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.training.errors import Ratios, ratios_of

MOST_TAPS = 255
"""Of a maximum: which one it was is noted down in a byte. Of a mean: so that sums fit 32 bits."""


def overlaps(rows: Axis, columns: Axis) -> bool:
    """Whether an element lies in two windows."""
    return any(axis.stride < axis.window and axis.output > 1 for axis in (rows, columns))


def max_routes(values: Array, rows: Axis, columns: Axis) -> Array:
    """Which tap of each window is its first maximum.

    Args:
        values: [h, w, c], numbers of any kind.
        rows: Geometry along the height.
        columns: Geometry along the width.
    """
    border = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
    padded = np.pad(values.astype(np.float64), border, constant_values=-np.inf)
    taps = np.ndindex(rows.window, columns.window)
    best: Array = np.stack([tap_view(padded, rows, columns, *tap) for tap in taps]).argmax(axis=0)
    return best


def gathered(shares: Array, rows: Axis, columns: Axis) -> Array:
    """Sums for the input of a window.

    Args:
        shares: What each tap of each window sends back: [taps, h', w', c].
        rows: Geometry along the height.
        columns: Geometry along the width.

    Returns:
        [h, w, c].
    """
    height, width = (axis.before + axis.size + axis.after for axis in (rows, columns))
    made = np.zeros((height, width, shares.shape[-1]), shares.dtype)
    for place, tap in enumerate(np.ndindex(rows.window, columns.window)):
        tap_view(made, rows, columns, *tap)[...] += shares[place]
    return made[rows.before :, columns.before :][: rows.size, : columns.size]


class OverlappingMaxPool2DRule(SumRule):
    """An element gets the errors of all windows in which it was the first maximum."""

    kind = "MAX_POOL_2D"
    keeps_values = True

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        rows, columns = MaxPool2D().axes(graph, op)
        taps = rows.window * columns.window
        if taps > MOST_TAPS:
            self._refuse(graph, op, f"a window of {taps} elements", f"at most {MOST_TAPS}")
        if MaxPool2D().options(op).activation is not Activation.NONE:
            self._refuse(graph, op, "the pooling has a fused activation", "none")

    def sums(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        values: Mapping[int, Array],
    ) -> Array:
        """See `SumRule.sums`."""
        rows, columns = MaxPool2D().axes(graph, op)
        routes = max_routes(values[op.inputs[0]][0], rows, columns)
        taps = np.arange(rows.window * columns.window)[:, None, None, None]
        return gathered(np.where(routes == taps, errors[0], 0), rows, columns)[None]

    def slopes(
        self, graph: Graph, op: Op, place: int, errors: Array, values: Mapping[int, Array]
    ) -> Array:
        """See `SumRule.slopes`."""
        return self.sums(graph, op, place, errors, values)

    def route_bytes(self, graph: Graph, op: Op) -> int:
        """One per output, of 2, 4 or 8 bits."""
        rows, columns = MaxPool2D().axes(graph, op)
        taps = rows.window * columns.window
        in_a_byte = 4 if taps <= 4 else 2 if taps <= 16 else 1
        return -(-graph.tensors[op.outputs[0]].size // in_a_byte)

    def emit_route(self, graph: Graph, op: Op, body: Body, routes: Region) -> None:
        """See `GradientRule.emit_route`."""
        body.include(BACKWARD)
        body.call(
            "fg_max_pool2d_route",
            MaxPool2D().params(graph, op, body),
            body.value(op.inputs[0], "const int8_t"),
            body.address(routes, "uint8_t"),
        )

    def scratch_words(self, graph: Graph, op: Op) -> int:
        """A pixel."""
        return graph.tensors[op.inputs[0]].shape[3]

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `SumRule.emit`."""
        body.include(BACKWARD)
        body.call(
            "fg_max_pool2d_sum_error",
            MaxPool2D().params(graph, op, body),
            call.routes,
            call.source,
            call.errors,
            call.scratch,
            call.target,
            call.made,
        )


class OverlappingAveragePool2DRule(SumRule):
    """An element gets its part of the errors of all windows that have averaged it.

    A window at the border averages fewer elements, and gives each a larger part.
    """

    kind = "AVERAGE_POOL_2D"
    saturates = False

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        rows, columns = AveragePool2D().axes(graph, op)
        taps = rows.window * columns.window
        if taps > MOST_TAPS:
            self._refuse(
                graph, op, f"overlapping windows of {taps} elements", f"at most {MOST_TAPS}"
            )

    def ratios(self, graph: Graph, op: Op) -> Ratios:
        """One per number of elements that a window averages."""
        rows, columns = AveragePool2D().axes(graph, op)
        taps = rows.window * columns.window
        return ratios_of([1.0 / (count + 1) for count in range(taps)], terms=1, wide=False)

    def exponent(self, graph: Graph, op: Op) -> int:
        """See `SumRule.exponent`."""
        return self.ratios(graph, op).exponent

    def sums(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        values: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `SumRule.sums`."""
        rows, columns = AveragePool2D().axes(graph, op)
        ratios = self.ratios(graph, op)
        value = np.array(ratios.values, np.int64)[_counts(rows, columns) - 1][:, :, None]
        shares = (errors[0] * value + (1 << (ratios.shift - 1))) >> ratios.shift
        taps = rows.window * columns.window
        return gathered(np.repeat(shares[None], taps, axis=0), rows, columns)[None]

    def slopes(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        values: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `SumRule.slopes`."""
        rows, columns = AveragePool2D().axes(graph, op)
        shares = errors[0] / _counts(rows, columns)[:, :, None]
        taps = rows.window * columns.window
        return gathered(np.repeat(shares[None], taps, axis=0), rows, columns)[None]

    def scratch_words(self, graph: Graph, op: Op) -> int:
        """A pixel."""
        return graph.tensors[op.inputs[0]].shape[3]

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `SumRule.emit`."""
        ratios = self.ratios(graph, op)
        body.include(BACKWARD)
        body.call(
            "fg_average_pool2d_error",
            AveragePool2D().params(graph, op, body),
            body.table(f"back{op.index}_ratio", np.array(ratios.values, np.int16)),
            ratios.shift,
            ratios.exponent,
            call.source,
            call.errors,
            call.mask,
            call.scratch,
            call.target,
            call.made,
        )


def _counts(rows: Axis, columns: Axis) -> Array:
    """Elements that each window averages, [h', w']."""
    inside = []
    for axis in (rows, columns):
        first = np.arange(axis.output) * axis.stride - axis.before
        inside.append(np.minimum(first + axis.window, axis.size) - np.maximum(first, 0))
    counts: Array = inside[0][:, None] * inside[1][None, :]
    return counts
