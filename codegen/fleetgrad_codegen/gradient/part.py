# SPDX-License-Identifier: Apache-2.0
"""A layer cut into its first output channels and the others, each a layer of its own."""

from dataclasses import replace

import numpy as np

from fleetgrad_codegen.gradient.weighted import WeightedRule
from fleetgrad_codegen.ir import Graph, Op, Quantization, Tensor


def part_of(graph: Graph, op: Op, rule: WeightedRule, channels: range) -> Graph:
    """The graph with a layer reduced to some of its output channels.

    Only that layer makes sense in it: whoever reads its output still expects all channels.

    Args:
        graph: The whole graph.
        op: The layer.
        rule: Its rule.
        channels: Which stay.
    """
    tensors = list(graph.tensors)
    weights, bias, made = op.inputs[1], op.inputs[2], op.outputs[0]
    tensors[weights] = _cut(tensors[weights], rule.channel_axis, channels)
    tensors[bias] = _cut(tensors[bias], len(tensors[bias].shape) - 1, channels)
    shape = (*tensors[made].shape[:-1], len(channels))
    tensors[made] = replace(tensors[made], shape=shape)
    return replace(graph, tensors=tuple(tensors))


def _cut(tensor: Tensor, axis: int, channels: range) -> Tensor:
    data = tensor.data
    assert data is not None
    kept = np.take(data, channels, axis)
    return replace(
        tensor,
        shape=kept.shape,
        data=kept,
        quantization=_cut_scales(tensor.quantization, channels),
    )


def _cut_scales(found: Quantization | None, channels: range) -> Quantization | None:
    if found is None or not found.per_channel:
        return found
    return replace(
        found,
        scale=found.scale[channels.start : channels.stop],
        zero_point=found.zero_point[channels.start : channels.stop],
    )
