# SPDX-License-Identifier: Apache-2.0
"""The operators: one file each, and the executable specification that they add up to.

Adding an operator is one file with one subclass of `Operator`, and its name in the list below.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fleetgrad_codegen.errors import DataError, UnsupportedError
from fleetgrad_codegen.ir import ABSENT, Array, Graph, Op, Tensor
from fleetgrad_codegen.ops.add import Add
from fleetgrad_codegen.ops.average_pool_2d import AveragePool2D
from fleetgrad_codegen.ops.base import Operator
from fleetgrad_codegen.ops.concatenation import Concatenation
from fleetgrad_codegen.ops.conv_2d import Conv2D
from fleetgrad_codegen.ops.depthwise_conv_2d import DepthwiseConv2D
from fleetgrad_codegen.ops.dequantize import Dequantize
from fleetgrad_codegen.ops.fully_connected import FullyConnected
from fleetgrad_codegen.ops.log_softmax import LogSoftmax
from fleetgrad_codegen.ops.logistic import Logistic
from fleetgrad_codegen.ops.max_pool_2d import MaxPool2D
from fleetgrad_codegen.ops.mean import Mean
from fleetgrad_codegen.ops.mul import Mul
from fleetgrad_codegen.ops.pad import Pad
from fleetgrad_codegen.ops.quantize import Quantize
from fleetgrad_codegen.ops.reshape import Reshape
from fleetgrad_codegen.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from fleetgrad_codegen.ops.softmax import Softmax
from fleetgrad_codegen.ops.sub import Sub
from fleetgrad_codegen.ops.svdf import Svdf
from fleetgrad_codegen.ops.tanh import Tanh
from fleetgrad_codegen.ops.transpose import Transpose
from fleetgrad_codegen.ops.unidirectional_sequence_lstm import UnidirectionalSequenceLstm

__all__ = [
    "REGISTRY",
    "Operator",
    "carried",
    "check_op",
    "initial_value",
    "interpret",
    "run_ops",
    "state_of",
]

_OPERATORS: tuple[Operator, ...] = (
    Add(),
    AveragePool2D(),
    Concatenation(),
    Conv2D(),
    DepthwiseConv2D(),
    Dequantize(),
    FullyConnected(),
    LogSoftmax(),
    Logistic(),
    MaxPool2D(),
    Mean(),
    Mul(),
    Pad(),
    Quantize(),
    Reshape(),
    ResizeNearestNeighbor(),
    Softmax(),
    Sub(),
    Svdf(),
    Tanh(),
    Transpose(),
    UnidirectionalSequenceLstm(),
)

REGISTRY: Mapping[str, Operator] = MappingProxyType({o.kind: o for o in _OPERATORS})
"""Every operator there is, by its name in the TFLite schema."""


def check_op(graph: Graph, op: Op) -> None:
    """Makes sure that one operator can run.

    Raises:
        UnsupportedError: There is no such operator here, or it cannot do what is asked.
        ModelFormatError: The operator contradicts its tensors.
    """
    operator = REGISTRY.get(op.kind)
    if operator is None:
        raise UnsupportedError(
            f"the operator {op.kind} is not supported",
            graph.where(op),
            ", ".join(sorted(REGISTRY)),
            "rebuild the model without it, or move that part to the host",
        )
    for index in (*op.inputs, *op.outputs):
        if index != ABSENT and not graph.tensors[index].size:
            raise UnsupportedError(
                f'tensor "{graph.tensors[index].name}" is empty: shape '
                f"{graph.tensors[index].shape}",
                graph.where(op),
                "at least one element",
            )
    operator.check(graph, op)


def run_ops(graph: Graph, ops: Iterable[Op], values: Mapping[int, Array]) -> dict[int, Array]:
    """Runs some of a graph's operators in order.

    Args:
        graph: The graph they belong to.
        ops: Operators whose inputs are constants, in ``values``, or made by those before them.
        values: Known tensors, by index; variables that are not among them begin as they do when a
            model is loaded.

    Returns:
        ``values`` and everything computed, variables included, by tensor index.
    """
    known = dict(values)
    for op in ops:
        inputs = [_value(graph, index, known) for index in op.inputs]
        made = REGISTRY[op.kind].reference(graph, op, inputs)
        known.update(zip((*op.outputs, *state_of(op)), made, strict=True))
    return known


def state_of(op: Op) -> tuple[int, ...]:
    """The variables of an operator, as tensor indices."""
    places = REGISTRY[op.kind].state
    return tuple(op.inputs[place] for place in places if place < len(op.inputs))


def initial_value(tensor: Tensor) -> Array:
    """What a variable holds when a model is loaded: real zeros."""
    zero = 0 if tensor.quantization is None else tensor.quantization.zero_point[0]
    return np.full(tensor.shape, zero, tensor.dtype.numpy)


def carried(graph: Graph, known: Mapping[int, Array]) -> dict[int, Array]:
    """The variables of what ``run_ops`` gave: with the inputs, the values of the next run."""
    return {index: value for index, value in known.items() if graph.tensors[index].variable}


def _value(graph: Graph, index: int, known: Mapping[int, Array]) -> Array:
    if index == ABSENT:
        return np.empty(0)
    tensor = graph.tensors[index]
    if tensor.data is not None:
        return tensor.data
    if tensor.variable and index not in known:
        return initial_value(tensor)
    return known[index]


def interpret(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """Runs one sample through a whole graph whose state is that of a freshly loaded model.

    Args:
        graph: A graph that the frontend accepted.
        inputs: One array per graph input, of its shape and dtype.

    Returns:
        One array per graph output.

    Raises:
        DataError: An input has another shape or dtype than the graph takes.
    """
    if len(inputs) != len(graph.inputs):
        raise DataError(f"{len(inputs)} inputs given", graph.name, f"{len(graph.inputs)}")
    for index, value in zip(graph.inputs, inputs, strict=True):
        tensor = graph.tensors[index]
        if value.shape != tensor.shape or value.dtype != tensor.dtype.numpy:
            raise DataError(
                f"an input of shape {value.shape} and type {value.dtype}",
                f'{graph.name}, input "{tensor.name}"',
                f"shape {tensor.shape} and type {tensor.dtype}",
            )
    known = run_ops(graph, graph.ops, dict(zip(graph.inputs, inputs, strict=True)))
    return [known[index] for index in graph.outputs]
