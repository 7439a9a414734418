# SPDX-License-Identifier: Apache-2.0
"""What is in a model: the data behind ``fleetgrad inspect``."""

from dataclasses import dataclass

from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.frontend.suitability import check_quantised, check_suitable
from fleetgrad_codegen.frontend.tflite import parse_model
from fleetgrad_codegen.ir import ABSENT, Graph, Op, Tensor
from fleetgrad_codegen.ops import REGISTRY, check_op
from fleetgrad_codegen.scheme.site import find_head


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: As in the file.
        shape: Dimensions, the batch included.
        dtype: Element type.
        scale: None for float tensors.
        zero_point: None for float tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True, slots=True)
class OpInfo:
    """One operator.

    Attributes:
        index: Position in the file.
        op: Kind.
        trainable: Whether last-layer training can train it.
        runs: Whether it is supported as it stands.
        problem: Why it does not run; empty where it does.
        inputs: Shapes of the inputs that are neither constant nor state.
        outputs: Shapes of the outputs.
        macs: Multiply-accumulates of one forward run; 0 where it does not run.
        params: Elements of its constant inputs.
        weights_bytes: Size of its constant inputs.
    """

    index: int
    op: str
    trainable: bool
    runs: bool
    problem: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    macs: int
    params: int
    weights_bytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """A whole model.

    Attributes:
        name: What the user calls it.
        ops: Every operator, in order.
        inputs: What the model takes.
        outputs: What it gives.
        macs: Sum over the operators that run.
        params: Elements of all constants.
        weights_bytes: Size of all constants, each counted once.
        problem: Why the model as a whole cannot run; None where it can.
    """

    name: str
    ops: tuple[OpInfo, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    macs: int
    params: int
    weights_bytes: int
    problem: CodegenError | None


def inspect_model(data: bytes, name: str) -> Inspection:
    """Looks into a model without demanding that it can run.

    Args:
        data: The whole file.
        name: What to call the model.

    Raises:
        ModelFormatError: The bytes are not a complete, consistent ``.tflite`` file.
        UnsupportedError: It cannot even be represented: several subgraphs, dynamic shapes; or it
            computes in float32, so that nothing of what this tool does applies.
    """
    graph = parse_model(data, name)
    check_quantised(graph)
    problem: CodegenError | None = None
    try:
        check_suitable(graph)
    except CodegenError as error:
        problem = error
    trainable = None if problem else _trainable(graph)
    ops = tuple(_op_info(graph, op, trainable) for op in graph.ops)
    used = {
        i for op in graph.ops for i in op.inputs if i != ABSENT and graph.tensors[i].is_constant
    }
    return Inspection(
        name=name,
        ops=ops,
        inputs=tuple(_tensor_info(graph.tensors[i]) for i in graph.inputs),
        outputs=tuple(_tensor_info(graph.tensors[i]) for i in graph.outputs),
        macs=sum(op.macs for op in ops),
        params=sum(graph.tensors[i].size for i in used),
        weights_bytes=sum(graph.tensors[i].nbytes for i in used),
        problem=problem,
    )


def _trainable(graph: Graph) -> Op | None:
    """The layer that last-layer training trains, if there is one."""
    try:
        return find_head(graph).op
    except CodegenError:
        return None


def _op_info(graph: Graph, op: Op, trainable: Op | None) -> OpInfo:
    problem = ""
    try:
        check_op(graph, op)
    except CodegenError as error:
        problem = error.what
    present = [graph.tensors[i] for i in op.inputs if i != ABSENT]
    constants = [t for t in present if t.is_constant]
    return OpInfo(
        index=op.index,
        op=op.kind,
        trainable=op is trainable,
        runs=not problem,
        problem=problem,
        inputs=tuple(t.shape for t in present if not (t.is_constant or t.variable)),
        outputs=tuple(graph.tensors[i].shape for i in op.outputs),
        macs=0 if problem else REGISTRY[op.kind].macs(graph, op),
        params=sum(t.size for t in constants),
        weights_bytes=sum(t.nbytes for t in constants),
    )


def _tensor_info(tensor: Tensor) -> TensorInfo:
    quantization = tensor.quantization
    return TensorInfo(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype.value,
        scale=None if quantization is None else quantization.scale[0],
        zero_point=None if quantization is None else quantization.zero_point[0],
    )
