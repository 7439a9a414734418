# SPDX-License-Identifier: Apache-2.0
"""What the two convolutions share: options, geometry, and the way from accumulator to output."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.weighted import WeightedOperator, output_multipliers, requantize_twice
from fleetgrad_codegen.ops.window import Axis, Padding


@dataclass(frozen=True, slots=True)
class ConvolutionOptions:
    """Options of a convolution; pairs are (height, width)."""

    padding: Padding
    stride: tuple[int, int]
    dilation: tuple[int, int]
    activation: Activation


class Convolution(WeightedOperator):
    """A sliding window with weights; accumulators are rounded twice."""

    def options(self, op: Op) -> ConvolutionOptions:
        """The operator's options, typed."""
        return cast("ConvolutionOptions", op.options)

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """Window geometry along height and width."""
        options = self.options(op)
        source, weights = self._input(graph, op, 0).shape, self._input(graph, op, 1).shape
        steps = zip(source[1:3], weights[1:3], options.stride, options.dilation, strict=True)
        rows, columns = (Axis(*step, options.padding) for step in steps)
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
            acc + self._bias(graph, op, channels),
            output_multipliers(source, weights, output, channels),
            output,
            self.options(op).activation,
        )
        return [made[None]]
