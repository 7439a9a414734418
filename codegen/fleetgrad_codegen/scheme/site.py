# SPDX-License-Identifier: Apache-2.0
"""Finds the last layer of a model, and what stands between it and the output."""

from dataclasses import dataclass
from math import prod

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.ir import ABSENT, DType, Graph, Op, Quantization, Tensor
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.convolution import ConvolutionOptions
from fleetgrad_codegen.ops.fully_connected import FullyConnectedOptions
from fleetgrad_codegen.ops.mean import Mean
from fleetgrad_codegen.ops.pooling import PoolOptions
from fleetgrad_codegen.ops.softmax import SoftmaxOptions

TRAINABLE = ("FULLY_CONNECTED", "CONV_2D")
_EXPECTED = (
    "FULLY_CONNECTED or 1x1 CONV_2D, followed only by RESHAPE, SOFTMAX, LOGISTIC, DEQUANTIZE, "
    "LOG_SOFTMAX or a global AVERAGE_POOL_2D or MEAN"
)


@dataclass(frozen=True, slots=True)
class HeadSite:
    """Where the last layer is, and what follows it.

    Attributes:
        graph: The model.
        position: Of the layer in ``graph.ops``.
        positions: Rows of the layer: 1, or the spatial size of a convolution.
        pooled: Whether the mean over positions follows.
        softmax: Options of the final SOFTMAX, or None.
        logistic: Whether a final LOGISTIC follows.
    """

    graph: Graph
    position: int
    positions: int
    pooled: bool
    softmax: SoftmaxOptions | None
    logistic: bool = False

    @property
    def op(self) -> Op:
        """The layer."""
        return self.graph.ops[self.position]

    @property
    def after(self) -> tuple[Op, ...]:
        """What follows the layer."""
        return self.graph.ops[self.position + 1 :]

    @property
    def source(self) -> Tensor:
        """The layer's input."""
        return self.graph.tensors[self.op.inputs[0]]

    @property
    def weights(self) -> Tensor:
        """int8 [outputs, inputs] or [outputs, 1, 1, inputs]."""
        return self.graph.tensors[self.op.inputs[1]]

    @property
    def bias(self) -> Tensor:
        """int32 [outputs]."""
        return self.graph.tensors[self.op.inputs[2]]

    @property
    def logits(self) -> Tensor:
        """The layer's output."""
        return self.graph.tensors[self.op.outputs[0]]

    @property
    def output(self) -> Tensor:
        """The model's output."""
        return self.graph.tensors[self.graph.outputs[0]]

    @property
    def outputs(self) -> int:
        """Outputs per position."""
        return self.weights.shape[0]

    @property
    def inputs(self) -> int:
        """Inputs per position."""
        return self.weights.shape[-1]

    @property
    def activation(self) -> Activation:
        """Fused into the layer."""
        options = self.op.options
        assert isinstance(options, FullyConnectedOptions | ConvolutionOptions)
        return options.activation


def quantization_of(tensor: Tensor) -> Quantization:
    """The quantisation of a tensor that an operator's check has found to have one."""
    if tensor.quantization is None:
        raise ValueError(f"{tensor.name} is not quantised")
    return tensor.quantization


def find_head(graph: Graph) -> HeadSite:
    """Finds the layer that the last-layer scheme trains.

    Args:
        graph: A whole model or its device part, checked.

    Raises:
        SchemeError: The last operator that computes something is not a trainable layer.
    """
    pooled, softmax, logistic = False, None, False
    current = graph.outputs[0]
    for position in range(len(graph.ops) - 1, -1, -1):
        op = graph.ops[position]
        if current not in op.outputs or _readers(graph, current) > 1:
            break
        if op.kind in TRAINABLE:
            positions = _positions(graph, op)
            pooled = pooled and positions > 1
            return HeadSite(graph, position, positions, pooled, softmax, logistic)
        if op.kind == "LOGISTIC" and not logistic and softmax is None and not pooled:
            logistic = quantization_of(graph.tensors[op.outputs[0]]).zero_point[0] == -128
            if not logistic:
                break
        elif op.kind == "SOFTMAX" and softmax is None and not logistic and not pooled:
            assert isinstance(op.options, SoftmaxOptions)
            softmax = op.options
            _check_softmax(graph, op, softmax)
        elif op.kind in {"AVERAGE_POOL_2D", "MEAN"} and not pooled:
            _check_global(graph, op)
            pooled = True
        elif not _passes(graph, op) or (pooled and op.kind == "RESHAPE"):
            break
        current = op.inputs[0]
    last = next((op for op in graph.ops if current in op.outputs), None)
    raise SchemeError(
        "the last operator that computes cannot be trained",
        graph.where(last) if last else graph.name,
        _EXPECTED,
        "give the model a fully connected last layer",
    )


def _passes(graph: Graph, op: Op) -> bool:
    """Whether the operator leaves open which class wins: another shape or number format."""
    narrows = op.kind == "QUANTIZE" and graph.tensors[op.inputs[0]].dtype is DType.INT16
    return narrows or op.kind in {"RESHAPE", "DEQUANTIZE", "LOG_SOFTMAX"}


def _check_softmax(graph: Graph, op: Op, options: SoftmaxOptions) -> None:
    """A SOFTMAX that the host runs is the plain one: the device does not see it."""
    if REGISTRY[op.kind].on_host(graph, op) and options.beta != 1.0:
        raise SchemeError(
            f"a softmax to int16 with beta {options.beta:g}", graph.where(op), "beta 1, or int8"
        )


def _readers(graph: Graph, tensor: int) -> int:
    return sum(op.inputs.count(tensor) for op in graph.ops)


def _positions(graph: Graph, op: Op) -> int:
    weights, source = graph.tensors[op.inputs[1]], graph.tensors[op.inputs[0]]
    if len(op.inputs) < 3 or op.inputs[2] == ABSENT:
        raise SchemeError(
            "the last layer has no bias to train",
            graph.where(op),
            "a layer with a bias",
            "export the model with use_bias=True",
        )
    for index in op.inputs[1:3]:
        if _readers(graph, index) > 1:
            raise SchemeError(
                f'another operator uses "{graph.tensors[index].name}" as well',
                graph.where(op),
                "weights and bias of its own",
            )
    if op.kind == "FULLY_CONNECTED":
        return source.size // weights.shape[1]
    options = op.options
    assert isinstance(options, ConvolutionOptions)
    if weights.shape[1:3] != (1, 1) or options.stride != (1, 1):
        window = "x".join(map(str, weights.shape[1:3]))
        stride = "x".join(map(str, options.stride))
        raise SchemeError(
            f"the last convolution has a {window} window and a {stride} stride",
            graph.where(op),
            "1x1 both",
            "give the model a fully connected or pointwise last layer",
        )
    return prod(source.shape[1:3])


def _check_global(graph: Graph, op: Op) -> None:
    """The pooling takes the plain mean over all positions."""
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.kind == "MEAN":
        spatial = len(source.shape) == 4 and Mean().axes(graph, op) == (1, 2)
        plain = True
    else:
        assert isinstance(op.options, PoolOptions)
        spatial = output.shape[1:3] == (1, 1) and op.options.window == source.shape[1:3]
        plain = op.options.activation is Activation.NONE
    if not spatial or not plain:
        raise SchemeError(
            "the pooling behind the last layer is not the mean over all positions",
            graph.where(op),
            "a window of the whole image, or MEAN over height and width",
        )
