# SPDX-License-Identifier: Apache-2.0
"""Makes a PAD part of the convolution behind it.

Windows then reach over a border that is not stored. Exporters whose framework pads in a way that
the file format has no name for write both operators.
"""

from dataclasses import replace
from typing import cast

from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.conv_2d import Conv2D
from fleetgrad_codegen.ops.convolution import Convolution, ConvolutionOptions
from fleetgrad_codegen.ops.depthwise_conv_2d import DepthwiseConv2D
from fleetgrad_codegen.ops.pad import Pad
from fleetgrad_codegen.ops.window import Padding

_PAD = Pad()
_CONVOLUTIONS: dict[str, Convolution] = {op.kind: op for op in (Conv2D(), DepthwiseConv2D())}


def fold_padding(graph: Graph) -> Graph:
    """The same graph with as few PAD operators as possible; bit for bit the same outputs."""
    folded = {
        reader: pad
        for pad in graph.ops
        if pad.kind == _PAD.kind and (reader := _reader(graph, pad)) is not None
    }
    gone = tuple(folded.values())
    ops = (_folded(graph, folded[op], op) if op in folded else op for op in graph.ops)
    return replace(graph, ops=tuple(op for op in ops if op not in gone)) if folded else graph


def _reader(graph: Graph, pad: Op) -> Op | None:
    """The convolution that can pad by itself what the operator pads; None where there is none."""
    source, padded = graph.tensors[pad.inputs[0]], graph.tensors[pad.outputs[0]]
    readers = [op for op in graph.ops if pad.outputs[0] in op.inputs]
    if len(readers) != 1 or pad.outputs[0] in graph.outputs or source.is_constant:
        return None
    (reader,) = readers
    widths = _PAD.widths(graph, pad)
    if reader.kind not in _CONVOLUTIONS or len(widths) != 4 or any(widths[0] + widths[3]):
        return None
    options = cast("ConvolutionOptions", reader.options)
    axes = _CONVOLUTIONS[reader.kind].axes(graph, reader)
    within = all(
        max(width) < axis.reach for width, axis in zip(widths[1:3], axes, strict=True)
    )  # windows see some of the input
    plain = options.padding is Padding.VALID and source.quantization == padded.quantization
    return reader if plain and within else None


def _folded(graph: Graph, pad: Op, convolution: Op) -> Op:
    _, rows, columns, _ = _PAD.widths(graph, pad)
    before = cast("ConvolutionOptions", convolution.options)
    (top, bottom), (left, right) = before.border
    border = (rows[0] + top, rows[1] + bottom), (columns[0] + left, columns[1] + right)
    return replace(
        convolution,
        inputs=(pad.inputs[0], *convolution.inputs[1:]),
        options=replace(before, border=border),
    )
