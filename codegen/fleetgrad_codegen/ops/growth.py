# SPDX-License-Identifier: Apache-2.0
"""C that takes grown scales into account; see `fleetgrad_codegen.ranges`.

Constants stay as exported. Where the scale of an operator's input or output may have grown, its
parameters are copied, and shifts, limits and biases follow the exponents in the range table.
"""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Graph, Op, Tensor
from fleetgrad_codegen.ops.activation import Activation, activation_range, grown_quantization

MOST_GROWTH = 3
"""Largest exponent: scales grow to eight times what they were exported with at the most."""

REACHABLE = range(-MOST_GROWTH, MOST_GROWTH + 1)
"""By what powers of two the factor from an operator's input to its output can change."""

HEADER = "fleetgrad/fg_ranges.h"


def exponent(tensor: Tensor) -> str:
    """The C of a tensor's exponent; empty where its scale is constant."""
    return "" if tensor.range is None else f"RANGE({tensor.range})"


def change(source: Tensor, output: Tensor) -> str:
    """The C of what a shift from input to output grows by; empty where both scales are constant."""
    gain, loss = exponent(source), exponent(output)
    if source.range == output.range:
        return ""
    return f"{gain} - {loss}".strip() if loss else gain


def is_scaled(graph: Graph, op: Op) -> bool:
    """Whether the operator's input or output may grow."""
    return any(graph.tensors[i].range is not None for i in (op.inputs[0], op.outputs[0]))


def follow_limits(
    output: Tensor, activation: Activation, body: Body, prefix: str, now: str
) -> None:
    """Writes the clamp of a fused activation for the output's present scale.

    Args:
        output: What is written.
        activation: The fused activation.
        body: Takes the lines.
        prefix: Of the names of tables.
        now: A struct with an ``fg_output`` called ``output``.
    """
    assert output.quantization is not None
    zero = output.quantization.zero_point[0]
    for name, ends in zip(("low", "high"), limits(output, activation), strict=True):
        if len(set(ends)) > 1:
            found = look_up([end - zero for end in ends], output, body, f"{prefix}_{name}")
            body.line(f"{now}.output.{name} = {found};")


def limits(output: Tensor, activation: Activation) -> tuple[Sequence[int], Sequence[int]]:
    """Both ends of a fused activation's clamp, for every exponent that the output may have."""
    exponents = range(1 if output.range is None else MOST_GROWTH + 1)
    ends = [activation_range(activation, grown_quantization(output, e)) for e in exponents]
    return [low for low, _ in ends], [high for _, high in ends]


def look_up(values: Sequence[int], tensor: Tensor, body: Body, name: str) -> str | int:
    """A number, or the C of a look-up by a tensor's exponent.

    Args:
        values: One per exponent.
        tensor: Whose.
        body: Takes the table.
        name: Of the table.
    """
    if len(set(values)) == 1:
        return values[0]
    return f"{body.table(name, np.array(values, np.int16))}[{exponent(tensor)}]"


def clamp_ends(
    graph: Graph, tensor: int, activation: Activation, body: Body
) -> tuple[str | int, str | int]:
    """Both ends of the clamp that a tensor's values have gone through, at its present scale."""
    found, names = graph.tensors[tensor], (f"clamp{tensor}_low", f"clamp{tensor}_high")
    ends = [
        look_up(values, found, body, name)
        for name, values in zip(names, limits(found, activation), strict=True)
    ]
    low, high = (f"(int8_t){end}" if isinstance(end, str) else end for end in ends)
    return low, high
