# SPDX-License-Identifier: Apache-2.0
"""The C of low-rank adapters: their update, and merging them into the shadow."""

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD
from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.gradient.weighted import Layer, rates_initialiser, ratio_initialiser
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops import growth
from fleetgrad_codegen.training.adapter import AdapterRates


def scratch_bytes(graph: Graph, layer: Layer) -> int:
    """Of an update: both sides of what is between the factors, and a row of sums and of int8."""
    op, rule, adapter = (
        graph.ops[layer.position],
        weighted_rule(graph, layer.position),
        layer.adapter,
    )
    assert adapter is not None
    outputs, inputs = rule.channels(graph, op), rule.taps(graph, op)
    pixels = graph.tensors[op.outputs[0]].size // outputs
    row = max(inputs, adapter.rank)
    return 4 * (2 * pixels * adapter.rank + row) + row


def emit_learn(graph: Graph, layer: Layer, body: Body, pointers: tuple[str, ...]) -> None:
    """Writes the update, and then the merge.

    Args:
        graph: The graph.
        layer: The layer.
        body: Takes the code.
        pointers: Record of the errors, errors, input, scratch.
    """
    op, rule = graph.ops[layer.position], weighted_rule(graph, layer.position)
    assert layer.adapter is not None
    weights, bias = op.inputs[1:3]
    constants = _struct(op, layer.adapter, body)
    if grown := growth.exponent(graph.tensors[op.inputs[0]]):
        now = body.local("fg_adapter", f"adapter{op.index}_now", f"*{constants}")
        for rates in ("up", "down"):
            body.line(f"{now}.{rates}.growth = {grown};")
        constants = f"&{now}"
    body.call(
        "fg_adapter_learn",
        rule.struct(graph, op, layer, body),
        constants,
        "step",
        *pointers,
        body.params(bias, "int32_t"),
        body.params(weights, "int16_t"),
    )
    if not body.is_paged(weights):
        emit_merge(graph, layer, body)


def emit_merge(graph: Graph, layer: Layer, body: Body) -> None:
    """Writes what makes the shadow from frozen weights and both factors."""
    op, rule = graph.ops[layer.position], weighted_rule(graph, layer.position)
    assert layer.adapter is not None
    weights = op.inputs[1]
    data = graph.tensors[weights].data
    assert data is not None
    body.include(BACKWARD)
    body.call(
        "fg_adapter_merge",
        f"{layer.adapter.rank}U",
        f"{rule.channels(graph, op)}U",
        f"{rule.taps(graph, op)}U",
        body.table(f"op{op.index}_weights", np.asarray(data)),
        body.params(weights, "int16_t"),
        body.shadow(weights),
    )


def _struct(op: Op, adapter: AdapterRates, body: Body) -> str:
    """The address of the ``fg_adapter``."""
    prefix = f"adapter{op.index}"
    body.include(BACKWARD)
    return body.struct(
        "fg_adapter",
        prefix,
        {
            "rank": adapter.rank,
            "inside_shift": adapter.inside_shift,
            "inside_limit": adapter.inside_limit,
            "error_bits": adapter.error_bits,
            "ratio": ratio_initialiser(adapter.ratios, prefix, body),
            "up": rates_initialiser(adapter.up, prefix, body),
            "down": rates_initialiser(adapter.down, f"{prefix}_down", body),
        },
    )
