# SPDX-License-Identifier: Apache-2.0
"""How much memory a layer's activations take: what scratch memory is measured by."""

from fleetgrad_codegen.ir import ABSENT, Graph, Op


def layer_bytes(graph: Graph, op: Op) -> int:
    """Of an operator's inputs and outputs, without constants."""
    used = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index != ABSENT]
    return sum(tensor.nbytes for tensor in used if tensor.data is None)


def largest_layer_bytes(graph: Graph) -> int:
    """Of the operator with the most: an arena is at least that large, but for work in place."""
    return max(layer_bytes(graph, op) for op in graph.ops)
