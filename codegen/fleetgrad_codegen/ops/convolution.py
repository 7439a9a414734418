# SPDX-License-Identifier: Apache-2.0
"""What the two convolutions share: options, geometry, and the way from accumulator to output."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs, growth
from fleetgrad_codegen.ops.activation import Activation, activation_range
from fleetgrad_codegen.ops.fixed_point import SCALED_LIMIT, per_channel, quantize_multiplier
from fleetgrad_codegen.ops.layer_size import largest_layer_bytes, layer_bytes
from fleetgrad_codegen.ops.weighted import (
    WeightedOperator,
    bias_values,
    output_factors,
    output_multipliers,
    requantize_twice,
)
from fleetgrad_codegen.ops.window import Axis, Padding
from fleetgrad_codegen.plan.buffers import Region


@dataclass(frozen=True, slots=True)
class ConvolutionOptions:
    """Options of a convolution; pairs are (height, width).

    Attributes:
        padding: How windows treat the border.
        stride: Step between two outputs.
        dilation: Step between two taps.
        activation: Fused activation.
        border: Padding besides, (before, after) along each dimension: that of a PAD in front.
    """

    padding: Padding
    stride: tuple[int, int]
    dilation: tuple[int, int]
    activation: Activation
    border: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


_MOST_TILE_TAPS, _LEAST_TILE_PIXELS, _MOST_SPREAD = 144, 4, 1024
"""Of ``fg_conv2d_tiles_dsp.c``."""
_FAR_SHIFT = -20
"""With no more shift than this, an accumulator of 2**30 is scaled to 2**9: beyond any output."""


class Convolution(WeightedOperator):
    """A sliding window with weights; accumulators are rounded twice.

    Attributes:
        kernel: Its function in ``fg_kernels.h``.
    """

    kernel: ClassVar[str]

    def options(self, op: Op) -> ConvolutionOptions:
        """The operator's options, typed."""
        return cast("ConvolutionOptions", op.options)

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """Window geometry along height and width."""
        options = self.options(op)
        source, weights = self._input(graph, op, 0).shape, self._input(graph, op, 1).shape
        steps = zip(source[1:3], weights[1:3], options.stride, options.dilation, strict=True)
        rows, columns = (
            Axis(*step, options.padding, border)
            for step, border in zip(steps, options.border, strict=True)
        )
        return rows, columns

    @abstractmethod
    def _check_channels(self, graph: Graph, op: Op) -> None:
        """The weights' shape fits the input's channels."""

    @abstractmethod
    def _accumulate(self, padded: Array, weights: Array, rows: Axis, columns: Axis) -> Array:
        """Sums of products without bias.

        Args:
            padded: float64 [h, w, c], zero point subtracted, border of zeros added.
            weights: float64, in the operator's own layout.
            rows: Geometry along the height.
            columns: Geometry along the width.

        Returns:
            float64 [h', w', o], whole numbers.
        """

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source = self._input(graph, op, 0)
        self._check_rank(graph, op, source, 4)
        self._check_int8(graph, op, source)
        self._check_int8(graph, op, self._output(graph, op))
        self._check_weights(graph, op, 4)
        self._check_channels(graph, op)
        rows, columns = self.axes(graph, op)
        self._check_window(graph, op, rows, columns)
        channels = self._input(graph, op, 1).shape[self.channel_axis]
        self._check_shape(graph, op, (1, rows.output, columns.output, channels))

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        output = self._output(graph, op)
        rows, columns = self.axes(graph, op)
        channels = output.shape[3]
        # Padding holds the zero point, so centred values are padded with zeros.
        border = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
        padded = np.pad(self._centred(graph, op, inputs[0][0]), border)
        acc = self._accumulate(padded, inputs[1].astype(np.float64), rows, columns)
        made = requantize_twice(
            acc + bias_values(inputs[2:], channels),
            output_multipliers(source, weights, output, channels),
            output,
            self.options(op).activation,
        )
        return [made[None]]

    def kernel_axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """Window geometry as the kernel gets to know it.

        An image one pixel wide is laid on its side, which changes no byte of it: kernels are made
        for windows that extend along rows.
        """
        rows, columns = self.axes(graph, op)
        narrow = columns.size == columns.window == columns.output == 1
        return (columns, rows) if narrow else (rows, columns)

    @abstractmethod
    def _scratch_bytes(self, graph: Graph, op: Op) -> int:
        """What the kernel copies from its input, or spreads for faster arithmetic."""

    def scratch(self, graph: Graph, op: Op) -> Region | None:
        """See `Operator.scratch`."""
        nbytes = self._scratch_bytes(graph, op)
        return Region(f"op{op.index} scratch", nbytes) if nbytes else None

    def _saves_memory(self, graph: Graph, op: Op) -> bool:
        """Whether what a kernel copies to work in place is less than an output of its own."""
        apart, within = self.scratch(graph, op), self.scratch_in_place(graph, op)
        needed = 0 if within is None else within.nbytes
        return needed < self._output(graph, op).nbytes + (0 if apart is None else apart.nbytes)

    @abstractmethod
    def _channel_fields(self, graph: Graph, op: Op) -> dict[str, int]:
        """What the kernel's parameters say about channels."""

    def _is_quick(self, graph: Graph, op: Op, body: Body, shift: Array) -> bool:
        """Whether one multiplication per rounding leads to the outputs of the reference.

        Kernels double the accumulator and saturate it, and multiply by ``2**(32 + shift)`` instead
        of shifting. Saturation changes no output where it cannot happen, or where what saturates
        is far beyond the limits of int8: there accumulators may be anything, as in training.
        """
        far = shift >= _FAR_SHIFT
        if not any(body.is_trained(index) for index in op.inputs[1:]):
            far |= self._largest_sums(graph, op) < 2**30
        return bool(np.all(far & (shift >= -31) & (shift <= -2)))

    def can_grow(self, graph: Graph, op: Op, by: int) -> bool:
        """See `Operator.can_grow`; factors below a half need no shift to the left."""
        tensors = (self._input(graph, op, 0), self._input(graph, op, 1), self._output(graph, op))
        factors = output_factors(*tensors, tensors[2].shape[3])
        value, shift = per_channel([quantize_multiplier(f) for f in factors])
        grown, moved = per_channel([quantize_multiplier(f * 2.0**by) for f in factors])
        scaled = self._largest_sums(graph, op) * np.array(factors) * 2.0**by
        return bool(
            np.array_equal(grown, value)
            and np.array_equal(moved, shift + by)
            and moved.max() < 0
            and scaled.max() < SCALED_LIMIT
        )

    def grown_scale(self, graph: Graph, op: Op) -> Region | None:
        """See `WeightedOperator.grown_scale`: the shifts."""
        if not growth.change(self._input(graph, op, 0), self._output(graph, op)):
            return None
        return Region(f"op{op.index} grown shifts", self._output(graph, op).shape[3])

    def params(self, graph: Graph, op: Op, body: Body) -> str:
        """The address of the kernel's parameters."""
        return self._params(graph, op, body, self.kernel, self._channel_fields(graph, op))

    def _params(
        self, graph: Graph, op: Op, body: Body, kernel: str, channels: Mapping[str, int]
    ) -> str:
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        output, where = self._output(graph, op), graph.where(op)
        made = output_multipliers(source, weights, output, output.shape[3])
        value, shift = per_channel(made)
        prefix = f"op{op.index}"
        scale = {
            "value": body.table(f"{prefix}_scale", value.astype(np.int32)),
            "shift": body.table(f"{prefix}_shift", shift.astype(np.int8)),
            "quick": "true" if self._is_quick(graph, op, body, shift) else "false",
        }
        limits = activation_range(self.options(op).activation, output)
        body.include(c_structs.KERNELS)
        params = body.struct(
            f"{kernel}_params",
            f"{prefix}_params",
            {
                "window": c_structs.window(*self.kernel_axes(graph, op), where),
                **{
                    name: c_structs.int16(count, "a number of channels", where)
                    for name, count in channels.items()
                },
                "input_zero": c_structs.zero_point(source),
                "scale": f"{{{', '.join(f'.{name} = {given}' for name, given in scale.items())}}}",
                "output": c_structs.output(output, limits),
            },
        )
        if not growth.is_scaled(graph, op):
            return params
        now = body.local(f"{kernel}_params", f"{prefix}_now", f"*{params}")
        return self._follow(graph, op, body, now)

    def _follow(self, graph: Graph, op: Op, body: Body, now: str) -> str:
        """Makes a copy of the kernel's parameters follow grown scales; returns its address."""
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        output, prefix = self._output(graph, op), f"op{op.index}"
        region = self.grown_scale(graph, op)
        if region is not None:
            _, shift = per_channel(output_multipliers(source, weights, output, output.shape[3]))
            by, shifts = growth.change(source, output), f"{now}.scale.shift"
            made = f"{shift.size}U, {by}, {body.address(region, 'int8_t')}"
            body.include(growth.HEADER)
            body.line(f"{shifts} = fg_grow_shifts({shifts}, {made});")
            quick = [self._is_quick(graph, op, body, shift + d) for d in growth.REACHABLE]
            if any(quick) and not all(quick):
                bits = sum(1 << place for place, one in enumerate(quick) if one)
                least = growth.MOST_GROWTH
                body.line(f"{now}.scale.quick = ((0x{bits:02x}U >> ({by} + {least})) & 1U) != 0U;")
        growth.follow_limits(output, self.options(op).activation, body, prefix, now)
        return f"&{now}"

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        self._emit_call(graph, op, body, self.kernel, self.params(graph, op, body))

    def _emit_call(self, graph: Graph, op: Op, body: Body, kernel: str, params: str) -> None:
        weights, bias = self._emit_weights(graph, op, body)
        self.call_kernel(graph, op, body, (kernel, params, weights, bias))

    def call_kernel(
        self,
        graph: Graph,
        op: Op,
        body: Body,
        given: tuple[str, str, str, str],
        made: str | None = None,
    ) -> None:
        """Writes the call of a kernel, in place where the output has its input's memory.

        Args:
            graph: The graph the operator belongs to.
            op: The operator.
            body: Takes the call.
            given: The kernel's name, and expressions of parameters, weights and bias.
            made: Expression of where the output goes; by default its own memory.
        """
        kernel, *constants = given
        in_place = body.is_in_place(op)
        region = self.scratch_in_place(graph, op) if in_place else self.scratch(graph, op)
        scratch = "NULL" if region is None else body.address(region, "int8_t")
        made = made or body.value(op.outputs[0], "int8_t")
        if in_place:
            body.call(f"{kernel}_in_place", *constants, scratch, made)
        else:
            body.call(kernel, *constants, self._pointer(graph, op, 0, body), scratch, made)


def matrix_scratch_bytes(rows: Axis, columns: Axis, depth: int, block: int) -> int:
    """Scratch of ``fg_conv2d``, which computes products of patches and filters.

    Two patches as int16, in whole quads of taps; where filters are short, those of more pixels, and
    the filters of four channels. Where the rows of a patch are not whole quads themselves, it is
    put together as int8 first.

    Args:
        rows: Geometry along the height, as the kernel knows it.
        columns: Geometry along the width, likewise.
        depth: Channels of the input.
        block: See `tile_pixels`.
    """
    taps = -(-rows.window * columns.window * depth // 4) * 4
    direct = depth % 4 == 0 or _is_contiguous(rows, columns)
    spread = taps * (2 * block + 8) if block else 4 * taps
    return spread if direct else spread + taps


def tile_pixels(graph: Graph, op: Op, rows: Axis, columns: Axis, depth: int) -> int:
    """How many pixels ``fg_conv2d`` computes together where filters are short.

    The more, the fewer times it spreads filters; but no more than fit beside this layer's input and
    output into what the graph's largest layer takes and an eighth more, or into a quarter of that.

    Args:
        graph: The graph the operator belongs to.
        op: The operator.
        rows: Geometry along the height, as the kernel knows it.
        columns: Geometry along the width, likewise.
        depth: Channels of the input.

    Returns:
        An even number; 0 where filters are long or pixels few.
    """
    pixels = rows.output * columns.output
    if rows.window * columns.window * depth > _MOST_TILE_TAPS or pixels < _LEAST_TILE_PIXELS:
        return 0
    taps = -(-rows.window * columns.window * depth // 4) * 4
    largest = largest_layer_bytes(graph)
    room = max(largest * 9 // 8 - layer_bytes(graph, op), largest // 4)
    fit = max((room // taps - 8) // 2, _LEAST_TILE_PIXELS)
    return min(_MOST_SPREAD // taps, pixels + 1, fit) // 2 * 2


def _is_contiguous(rows: Axis, columns: Axis) -> bool:
    """Whether every patch lies in the input byte after byte: one row of it, or whole rows."""
    one_run = columns.window == 1 or columns.dilation == 1
    whole_rows = columns.window == columns.size and rows.dilation == 1
    inside = not (rows.has_border or columns.has_border)
    return inside and one_run and (rows.window == 1 or whole_rows)
