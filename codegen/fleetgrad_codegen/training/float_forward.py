# SPDX-License-Identifier: Apache-2.0
"""A quantised model computed in float32: weights as they are, activations never rounded.

The yardstick for what integers cost. Runs many samples at a time.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.ir import ABSENT, Array, Graph, Op, Tensor
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.concatenation import Concatenation
from fleetgrad_codegen.ops.convolution import Convolution, ConvolutionOptions
from fleetgrad_codegen.ops.elementwise import ElementwiseOptions
from fleetgrad_codegen.ops.fully_connected import FullyConnectedOptions
from fleetgrad_codegen.ops.mean import Mean
from fleetgrad_codegen.ops.pad import Pad
from fleetgrad_codegen.ops.pooling import Pooling, PoolOptions
from fleetgrad_codegen.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from fleetgrad_codegen.ops.softmax import SoftmaxOptions
from fleetgrad_codegen.ops.svdf import SvdfOptions
from fleetgrad_codegen.ops.transpose import Transpose
from fleetgrad_codegen.ops.unidirectional_sequence_lstm import GATES, LstmOptions
from fleetgrad_codegen.ops.window import Axis

Floats = npt.NDArray[np.float32]

LIMITS = {
    Activation.NONE: (-np.inf, np.inf),
    Activation.RELU: (0.0, np.inf),
    Activation.RELU6: (0.0, 6.0),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
}


def dequantised(tensor: Tensor, values: Array) -> Floats:
    """Real values of a tensor's integers.

    Args:
        tensor: Tells scales and zero points; without any the values count as they are.
        values: [...] as the tensor, or [samples, ...] of activations with a batch dimension of 1.

    Returns:
        float32 of the same shape.
    """
    found = tensor.quantization
    if found is None:
        return values.astype(np.float32)
    scale, zero = np.array(found.scale), np.array(found.zero_point)
    if found.per_channel:
        shape = [1] * values.ndim
        shape[found.axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    real: Floats = ((values.astype(np.float64) - zero) * scale).astype(np.float32)
    return real


def float_forward(graph: Graph, inputs: Array, until: int | None = None) -> Floats:
    """Runs samples through a graph.

    Args:
        graph: A checked graph with one input.
        inputs: [samples, ...] in the input's own dtype, without its batch dimension of 1.
        until: Index of the tensor that is wanted; the output by default.

    Returns:
        float32 [samples, ...], without the batch dimension.

    Raises:
        UnsupportedError: An operator has no float rule.
    """
    wanted = graph.outputs[0] if until is None else until
    known = {graph.inputs[0]: dequantised(graph.tensors[graph.inputs[0]], inputs)}
    return float_values(graph, known, wanted)[wanted]


def float_values(graph: Graph, known: Mapping[int, Floats], until: int) -> dict[int, Floats]:
    """Everything that is computed on the way to a tensor.

    Args:
        graph: A checked graph.
        known: Inputs, [samples, ...], and constants that differ from the graph's own.
        until: Index of the tensor that is wanted.

    Returns:
        By tensor; what was known included.

    Raises:
        UnsupportedError: An operator has no float rule.
    """
    values = dict(known)
    for op in graph.ops:
        if until in values:
            break
        values[op.outputs[0]] = float_op(graph, op, values)
    return values


def float_op(graph: Graph, op: Op, values: Mapping[int, Floats]) -> Floats:
    """What one operator makes of its inputs.

    Args:
        graph: A checked graph.
        op: The operator.
        values: Its inputs, [samples, ...], and constants that differ from the graph's own.

    Returns:
        float32 [samples, ...].

    Raises:
        UnsupportedError: There is no float rule.
    """
    rule = _RULES.get(op.kind)
    if rule is None:
        raise UnsupportedError("no float rule for this operator", graph.where(op))
    return rule(graph, op, values).astype(np.float32)


_Values = Mapping[int, Floats]


def _input(graph: Graph, op: Op, values: _Values, place: int) -> Floats:
    index = op.inputs[place]
    data = graph.tensors[index].data
    if index in values or data is None:
        return values[index]
    return dequantised(graph.tensors[index], data)


def _bias(graph: Graph, op: Op, values: _Values) -> Floats | float:
    if len(op.inputs) < 3 or op.inputs[2] == ABSENT:
        return 0.0
    return _input(graph, op, values, 2).reshape(-1)


def _activate(activation: Activation, values: Array) -> Array:
    return np.clip(values, *LIMITS[activation])


def _taps(x: Array, rows: Axis, columns: Axis, fill: float) -> Sequence[tuple[int, int, Array]]:
    """What each tap of a window reads: (row, column, [samples, rows', columns', channels])."""
    border = ((0, 0), (rows.before, rows.after), (columns.before, columns.after), (0, 0))
    padded = np.pad(x, border, constant_values=fill)
    return [
        (row, column, padded[:, rows.taps(row), columns.taps(column)])
        for row, column in np.ndindex(rows.window, columns.window)
    ]


def _convolution(graph: Graph, op: Op, values: _Values) -> Array:
    operator, options = REGISTRY[op.kind], op.options
    assert isinstance(operator, Convolution)
    assert isinstance(options, ConvolutionOptions)
    x, weights = _input(graph, op, values, 0), _input(graph, op, values, 1)
    total: Array = np.zeros(())
    for row, column, seen in _taps(x, *operator.axes(graph, op), 0.0):
        if op.kind == "CONV_2D":
            total = total + seen @ weights[:, row, column].T
        else:
            multiplier = weights.shape[3] // x.shape[3]
            total = total + np.repeat(seen, multiplier, axis=3) * weights[0, row, column]
    return _activate(options.activation, total + _bias(graph, op, values))


def _fully_connected(graph: Graph, op: Op, values: _Values) -> Array:
    assert isinstance(op.options, FullyConnectedOptions)
    x, weights = _input(graph, op, values, 0), _input(graph, op, values, 1)
    shape = graph.tensors[op.outputs[0]].shape
    made = x.reshape(-1, weights.shape[1]) @ weights.T + _bias(graph, op, values)
    return _activate(op.options.activation, made.reshape(len(x), *shape[1:]))


def _pool(graph: Graph, op: Op, values: _Values) -> Array:
    operator, options = REGISTRY[op.kind], op.options
    assert isinstance(operator, Pooling)
    assert isinstance(options, PoolOptions)
    x, axes = _input(graph, op, values, 0), operator.axes(graph, op)
    if op.kind == "MAX_POOL_2D":
        made: Array = np.max([seen for *_, seen in _taps(x, *axes, -np.inf)], axis=0)
    else:
        count = np.sum([seen for *_, seen in _taps(np.ones_like(x[:1]), *axes, 0.0)], axis=0)
        made = np.sum([seen for *_, seen in _taps(x, *axes, 0.0)], axis=0) / count
    return _activate(options.activation, made)


def _mean(graph: Graph, op: Op, values: _Values) -> Array:
    made = _input(graph, op, values, 0).mean(axis=Mean().axes(graph, op))
    shaped: Array = made.reshape(len(made), *graph.tensors[op.outputs[0]].shape[1:])
    return shaped


def _elementwise(
    function: Callable[[Array, Array], Array],
) -> Callable[[Graph, Op, _Values], Array]:
    def rule(graph: Graph, op: Op, values: _Values) -> Array:
        rank = len(graph.tensors[op.outputs[0]].shape)
        first, second = (
            x if graph.tensors[op.inputs[i]].is_constant else _of_rank(x, rank)
            for i in (0, 1)
            for x in (_input(graph, op, values, i),)
        )
        assert isinstance(op.options, ElementwiseOptions)
        return _activate(op.options.activation, function(first, second))

    return rule


def _of_rank(x: Array, rank: int) -> Array:
    """Samples with as many dimensions as the output has, so that the first keeps counting them."""
    return x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:])


def _transpose(graph: Graph, op: Op, values: _Values) -> Array:
    return _input(graph, op, values, 0).transpose(Transpose().permutation(graph, op))


def _concatenation(graph: Graph, op: Op, values: _Values) -> Array:
    parts = [_input(graph, op, values, i) for i in range(len(op.inputs))]
    samples = max(len(part) for part in parts)
    repeated = [np.broadcast_to(part, (samples, *part.shape[1:])) for part in parts]
    return np.concatenate(repeated, axis=Concatenation().axis(graph, op))


def _resize(graph: Graph, op: Op, values: _Values) -> Array:
    rows, columns = ResizeNearestNeighbor().sources(graph, op)
    picked: Array = _input(graph, op, values, 0)[:, rows[:, None], columns[None, :]]
    return picked


def _logistic(graph: Graph, op: Op, values: _Values) -> Array:
    return _sigmoid(_input(graph, op, values, 0))


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        made: Array = 1 / (1 + np.exp(-x))
    return made


def _tanh(graph: Graph, op: Op, values: _Values) -> Array:
    made: Array = np.tanh(_input(graph, op, values, 0))
    return made


def _pad(graph: Graph, op: Op, values: _Values) -> Array:
    border = Pad().widths(graph, op)
    return np.pad(_input(graph, op, values, 0), border)


def _reshape(graph: Graph, op: Op, values: _Values) -> Array:
    x = _input(graph, op, values, 0)
    return x.reshape(len(x), *graph.tensors[op.outputs[0]].shape[1:])


def _softmax(graph: Graph, op: Op, values: _Values) -> Array:
    assert isinstance(op.options, SoftmaxOptions)
    x = _input(graph, op, values, 0) * op.options.beta
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    share: Array = powers / powers.sum(axis=-1, keepdims=True)
    return share


def _svdf(graph: Graph, op: Op, values: _Values) -> Array:
    """From a fresh state: nothing but the latest features has been seen."""
    assert isinstance(op.options, SvdfOptions)
    x, feature, time, bias = (_input(graph, op, values, i) for i in range(4))
    made = (x @ feature.T) * time[:, -1]
    return _activate(
        op.options.activation, made.reshape(len(x), -1, op.options.rank).sum(axis=2) + bias
    )


def _lstm(graph: Graph, op: Op, values: _Values) -> Array:
    """From a fresh state, over the whole sequence."""
    assert isinstance(op.options, LstmOptions)
    x = _input(graph, op, values, 0)
    x = x.reshape(len(x), -1, x.shape[-1])
    parts = {
        name: [_input(graph, op, values, start + place) for start in (1, 5, 12)]
        for place, name in enumerate(GATES)
        if op.inputs[1 + place] != ABSENT
    }
    clip = op.options.cell_clip or np.inf
    hidden, cell, made = np.zeros(()), np.zeros(()), []
    for step in range(x.shape[1]):
        sums = {
            name: x[:, step] @ weights.T + bias + (hidden @ recurrent.T if step else 0.0)
            for name, (weights, recurrent, bias) in parts.items()
        }
        forget = _sigmoid(sums["forget"])
        entering = _sigmoid(sums["input"]) if "input" in sums else 1 - forget
        cell = np.clip(forget * cell + entering * np.tanh(sums["cell"]), -clip, clip)
        hidden = _sigmoid(sums["output"]) * np.tanh(cell)
        made.append(hidden)
    return np.stack(made, axis=1).reshape(len(x), *graph.tensors[op.outputs[0]].shape[1:])


def _same(graph: Graph, op: Op, values: _Values) -> Array:
    return _input(graph, op, values, 0)


_RULES: Mapping[str, Callable[[Graph, Op, _Values], Array]] = {
    "ADD": _elementwise(np.add),
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "DEQUANTIZE": _same,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "MUL": _elementwise(np.multiply),
    "PAD": _pad,
    "QUANTIZE": _same,
    "RESHAPE": _reshape,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SOFTMAX": _softmax,
    "SUB": _elementwise(np.subtract),
    "SVDF": _svdf,
    "TANH": _tanh,
    "TRANSPOSE": _transpose,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
