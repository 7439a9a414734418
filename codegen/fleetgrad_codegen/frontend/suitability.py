# SPDX-License-Identifier: Apache-2.0
"""Whether a well-formed graph is an int8 model that can run; if not, why, in the user's words."""

from fleetgrad_codegen.errors import FloatModelError, UnsupportedError
from fleetgrad_codegen.ir import ABSENT, DType, Graph, Op
from fleetgrad_codegen.ops import REGISTRY, check_op
from fleetgrad_codegen.ops.boundary import split_boundary

QUANTISE_HINT = "fleetgrad quantize MODEL --data DATA.npz -o MODEL_int8.tflite"
ORIGINAL_HINT = "fleetgrad quantize, from the float model that this one was made from"

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"


def check_not_keras(data: bytes, name: str) -> None:
    """Makes sure that a file is not one of Keras: HDF5 (.h5), or a zip archive (.keras).

    Raises:
        FloatModelError: It is.
    """
    if data[:8] == _HDF5 or (data[:4] == _ZIP and b"model.weights.h5" in data):
        raise FloatModelError(
            "this is a float model of Keras", name, "an int8 .tflite", QUANTISE_HINT
        )


def check_suitable(graph: Graph) -> None:
    """Makes sure that a graph can run, with the most telling complaint first.

    Raises:
        UnsupportedError: A float or hybrid model, a batch of several, or an operator, or a use of
            one, that is not supported.
        ModelFormatError: An operator contradicts its tensors.
    """
    check_quantised(graph)
    for op in graph.ops:
        if op.kind not in REGISTRY:
            check_op(graph, op)
    for index in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[index]
        if tensor.shape and tensor.shape[0] != 1:
            raise UnsupportedError(
                f"a batch of {tensor.shape[0]} samples",
                f'{graph.name}, tensor "{tensor.name}" of shape {tensor.shape}',
                "1 in front of the shape",
                "convert the model with a batch size of 1",
            )
    for op in graph.ops:
        check_op(graph, op)
    split_boundary(graph)


def check_quantised(graph: Graph) -> None:
    """Makes sure that a model does not compute in float32.

    Raises:
        UnsupportedError: It does, in all or some of its operators; a FloatModelError in all.
    """
    computing = [op for op in graph.ops if op.kind not in REGISTRY or not _is_end(graph, op)]
    in_float = [op for op in computing if _touches_float(graph, op)]
    if not in_float:
        return
    if len(in_float) < len(computing):
        if any(op.kind not in REGISTRY for op in in_float):
            return  # the operator itself is what the user has to hear about
        raise UnsupportedError(
            f"{len(in_float)} of {len(computing)} operators compute in float32",
            graph.where(in_float[0]),
            "float32 only at the very start and end of the model",
            ORIGINAL_HINT,
        )
    if any(t.is_constant and t.dtype is DType.INT8 for t in graph.tensors):
        raise UnsupportedError(
            "this is a hybrid model: int8 weights, float32 arithmetic (dynamic range quantisation)",
            graph.name,
            "an int8 model: weights and activations",
            ORIGINAL_HINT,
        )
    raise FloatModelError(
        "this is a float model", graph.name, "an int8 model: weights and activations", QUANTISE_HINT
    )


def _is_end(graph: Graph, op: Op) -> bool:
    """Whether the host would run it at an end of the model; where it stands is checked later."""
    return op.kind in ("QUANTIZE", "DEQUANTIZE") or REGISTRY[op.kind].on_host(graph, op)


def _touches_float(graph: Graph, op: Op) -> bool:
    indices = [i for i in (*op.inputs, *op.outputs) if i != ABSENT]
    return any(graph.tensors[i].dtype is DType.FLOAT32 for i in indices)
