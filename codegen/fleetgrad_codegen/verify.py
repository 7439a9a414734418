# SPDX-License-Identifier: Apache-2.0
"""Counts how often a backend's forward pass differs from the integer reference."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.errors import DataError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Array, Graph
from fleetgrad_codegen.ops import carried, run_ops
from fleetgrad_codegen.ops.boundary import split_boundary

Backend = Callable[[Sequence[Array]], Sequence[Array]]
"""Runs int8 inputs of the device's graph in order, from a fresh state; returns the int8 outputs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a backend did.

    Attributes:
        samples: Inputs it was given.
        mismatches: Samples with at least one output value that differs from the reference.
        largest: Largest difference of any output value, in units of the last place.
    """

    samples: int
    mismatches: int
    largest: int


def device_graph(model: bytes, name: str) -> Graph:
    """What runs on a device: the model without float conversions at its ends.

    Raises:
        CodegenError: As for ``read_model``.
    """
    _, graph, _ = split_boundary(read_model(model, name))
    return graph


def random_inputs(graph: Graph, count: int, seed: int) -> list[Array]:
    """Uniform int8 inputs of a device's graph, the same for the same seed."""
    draw = np.random.default_rng(seed)
    shape = graph.tensors[graph.inputs[0]].shape
    return [draw.integers(-128, 128, shape, np.int8) for _ in range(count)]


def verify(graph: Graph, backend: Backend, inputs: Sequence[Array]) -> Verdict:
    """Compares a backend with the reference, bit for bit.

    Args:
        graph: The device's graph, as ``device_graph`` gives it.
        backend: What to test.
        inputs: One int8 array per sample, of the graph's input shape.

    Returns:
        How often and by how much it was wrong.

    Raises:
        DataError: The backend answers with another number of samples or values.
    """
    answers = list(backend(inputs))
    if len(answers) != len(inputs):
        raise DataError(f"{len(answers)} outputs for {len(inputs)} inputs", graph.name)
    expected = reference_outputs(graph, inputs)
    largest = [_difference(graph, *pair) for pair in zip(expected, answers, strict=True)]
    return Verdict(len(inputs), sum(d > 0 for d in largest), max(largest, default=0))


def reference_outputs(graph: Graph, inputs: Iterable[Array]) -> list[Array]:
    """What the reference makes of int8 inputs of a device's graph, one after the other.

    Operators' state is carried from each to the next, as an interpreter does.
    """
    (source,), (target,) = graph.inputs, graph.outputs
    outputs, state = [], dict[int, Array]()
    for x in inputs:
        known = run_ops(graph, graph.ops, {**state, source: x})
        state = carried(graph, known)
        outputs.append(known[target])
    return outputs


def _difference(graph: Graph, expected: Array, answer: Array) -> int:
    if answer.size != expected.size:
        raise DataError(
            f"{answer.size} output values", graph.name, f"{expected.size}, shape {expected.shape}"
        )
    apart = answer.reshape(-1).astype(np.int64) - expected.reshape(-1).astype(np.int64)
    return int(np.abs(apart).max(initial=0))
