# SPDX-License-Identifier: Apache-2.0
"""Where the host ends and the device begins.

Many int8 models take and give float32 or uint8, with conversions at both ends. Those, and what
little may follow them, run on the host; a device starts from, and ends with, int8 tensors.
"""

from dataclasses import replace

from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.ir import DType, Graph, Op
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.ops.fold_pad import fold_padding


def split_boundary(graph: Graph) -> tuple[tuple[Op, ...], Graph, tuple[Op, ...]]:
    """Takes the conversions off both ends of a graph.

    Args:
        graph: Any graph whose operators are supported.

    Returns:
        Operators that turn the model's inputs into the device's, the device's graph with all
        tensors and the other operators, padding folded into convolutions, and operators that turn
        its outputs into the model's. Run the outer ones with `ops.run_ops`.

    Raises:
        UnsupportedError: Something other than int8 is left in between, or at its ends.
    """
    before = tuple(
        op
        for op in graph.ops
        if REGISTRY[op.kind].on_host(graph, op)
        and op.inputs[0] in graph.inputs
        and graph.tensors[op.inputs[0]].dtype is not DType.INT8
    )
    after = _leaving_ops(graph, before)
    for op in before:
        if any(op.inputs[0] in other.inputs for other in graph.ops if other is not op):
            raise UnsupportedError(
                f'input "{graph.tensors[op.inputs[0]].name}" is converted more than once',
                graph.where(op),
                "one conversion per input",
            )
    entering = {op.inputs[0]: op.outputs[0] for op in before}
    leaving: dict[int, int] = {}
    for op in after:
        leaving[op.outputs[0]] = leaving.get(op.inputs[0], op.inputs[0])
    device = replace(
        graph,
        ops=tuple(op for op in graph.ops if op not in before and op not in after),
        inputs=tuple(entering.get(i, i) for i in graph.inputs),
        outputs=tuple(leaving.get(i, i) for i in graph.outputs),
    )
    _check_device(device)
    return before, fold_padding(device), after


def _leaving_ops(graph: Graph, before: tuple[Op, ...]) -> tuple[Op, ...]:
    """Operators on something other than int8 that only the model's outputs are made of."""
    after: list[Op] = []
    for op in reversed(graph.ops):
        (output,) = op.outputs
        readers = [other for other in graph.ops if output in other.inputs]
        if (
            op not in before
            and REGISTRY[op.kind].on_host(graph, op)
            and graph.tensors[output].dtype is not DType.INT8
            and (output in graph.outputs or readers)
            and all(reader in after for reader in readers)
        ):
            after.append(op)
    return tuple(reversed(after))


def _check_device(device: Graph) -> None:
    for end, indices in (("input", device.inputs), ("output", device.outputs)):
        for index in indices:
            tensor = device.tensors[index]
            if tensor.dtype is not DType.INT8:
                raise UnsupportedError(
                    f'{end} "{tensor.name}" is {tensor.dtype}',
                    device.name,
                    "int8, or a conversion from or to float32 or uint8 at the end of the model",
                )
    for op in device.ops:
        for index in op.outputs:
            tensor = device.tensors[index]
            if tensor.dtype is not DType.INT8:
                raise UnsupportedError(
                    f'"{tensor.name}" is {tensor.dtype}, in the middle of the model',
                    device.where(op),
                    "int8 activations from the first operator to the last",
                )
    if not device.ops:
        raise UnsupportedError("the model only converts between number formats", device.name)
