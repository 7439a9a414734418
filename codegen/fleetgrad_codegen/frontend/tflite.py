# SPDX-License-Identifier: Apache-2.0
"""Reads an int8 ``.tflite`` model into an `ir.Graph`.

Everything a damaged or unsuitable file can do is caught here or in the operators' own checks, so
that whoever gets a graph from `read_model` may rely on it.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from fleetgrad_codegen.errors import CodegenError, ModelFormatError, UnsupportedError
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.frontend.patch import TensorPatch, buffer_location, patch_model
from fleetgrad_codegen.frontend.suitability import check_not_keras, check_suitable
from fleetgrad_codegen.ir import ABSENT, Array, DType, Graph, Op, Quantization, Tensor
from fleetgrad_codegen.ops import REGISTRY, state_of

__all__ = ["TensorPatch", "buffer_location", "parse_model", "patch_model", "read_model"]

IDENTIFIER = b"TFL3"

# TensorType of the schema.
_DTYPES = {
    0: DType.FLOAT32,
    2: DType.INT32,
    3: DType.UINT8,
    4: DType.INT64,
    6: DType.BOOL,
    7: DType.INT16,
    9: DType.INT8,
}
_ZERO_POINTS = {DType.INT8: (-128, 127), DType.UINT8: (0, 255)}
_OTHER_DTYPES = {1: "float16", 5: "string", 10: "float64", 15: "uint32", 16: "uint16", 17: "int4"}
_CUSTOM = 32
_BY_CODE = {operator.code: operator for operator in REGISTRY.values()}
_MAX_ELEMENTS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _File:
    """The parts of a model file that everything else refers to."""

    buffers: list[Table]
    codes: list[Table]
    subgraph: Table


def read_model(data: bytes, name: str) -> Graph:
    """Reads a model and makes sure that it can run.

    Args:
        data: The whole file.
        name: What to call the model in messages and generated files.

    Returns:
        The graph; every operator has passed its ``check``.

    Raises:
        ModelFormatError: The bytes are not a complete, consistent ``.tflite`` file.
        UnsupportedError: A valid file that is not an int8 model with a batch of one, or that has an
            operator, or a use of one, that is not supported.
    """
    graph = parse_model(data, name)
    check_suitable(graph)
    return graph


def parse_model(data: bytes, name: str) -> Graph:
    """Reads a model as it stands; operators are parsed but not checked, unknown ones kept.

    Args:
        data: The whole file.
        name: What to call the model in messages.

    Returns:
        The graph. An operator that is not in the registry has None as its options.

    Raises:
        ModelFormatError: As for ``read_model``.
        FloatModelError: A file of Keras.
        UnsupportedError: Several subgraphs, several samples per batch, dynamic shapes, sparse or
            externally stored tensors, or options that a known operator cannot do.
    """
    check_not_keras(data, name)
    file = _open(bytes(data))
    tensors = tuple(_tensor(file, i, t) for i, t in enumerate(file.subgraph.tables(0)))
    inputs = _indices(file.subgraph, 1, tensors, "the model's inputs", optional=False)
    outputs = _indices(file.subgraph, 2, tensors, "the model's outputs", optional=False)
    ops = tuple(_op(file, i, t, tensors) for i, t in enumerate(file.subgraph.tables(3)))
    graph = Graph(name, tensors, ops, inputs, outputs)
    _check_order(graph)
    return graph


def _open(data: bytes) -> _File:
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ModelFormatError(
            "this is not a .tflite file" if data else "the file is empty",
            where="bytes 4 to 7",
            expected='the identifier "TFL3"',
            hint="convert a Keras or SavedModel with tf.lite.TFLiteConverter first",
        )
    if len(data) % 4:
        raise ModelFormatError(
            "the file is damaged: its end is missing",
            where=f"byte {len(data)}",
            expected="a size that is a multiple of 4, as every complete .tflite file has",
            hint="copy or export the model again",
        )
    model = Table.root(data)
    if model.u32(0) != 3:
        raise ModelFormatError(f"schema version {model.u32(0)}", "the model", "version 3")
    buffers, codes, subgraphs = model.tables(4), model.tables(1), model.tables(2)
    for buffer in buffers:
        buffer.array(0, np.uint8)  # all of them, so that a cut in an unused one shows too
    for metadata in model.tables(6):
        metadata.text(0)
    model.text(3)
    if len(subgraphs) != 1:
        raise UnsupportedError(
            f"the model has {len(subgraphs)} subgraphs",
            expected="exactly one: no control flow, no second signature",
            hint="convert one concrete function at a time",
        )
    subgraphs[0].text(4)
    return _File(buffers, codes, subgraphs[0])


def _tensor(file: _File, index: int, table: Table) -> Tensor:
    name = table.text(3)
    where = f'tensor {index} "{name}"'
    code = table.i8(1)
    if code not in _DTYPES:
        raise UnsupportedError(
            f"type {_OTHER_DTYPES.get(code, code)}", where, ", ".join(sorted(d for d in DType))
        )
    if table.has(6) and table.table(6) is not None:
        raise UnsupportedError("a sparse tensor", where, "dense tensors")
    dtype = _DTYPES[code]
    shape = _shape(table, where)
    quantization = _quantization(table, shape, where)
    low, high = _ZERO_POINTS.get(dtype, (-(2**31), 2**31 - 1))
    for zero in quantization.zero_point if quantization else ():
        if not low <= zero <= high:
            raise ModelFormatError(f"zero point {zero} of {dtype}", where, f"{low} to {high}")
    return Tensor(
        name=name,
        shape=shape,
        dtype=dtype,
        quantization=quantization,
        data=_data(file, table, shape, dtype, where),
        source=index,
        variable=table.boolean(5),
    )


def _shape(table: Table, where: str) -> tuple[int, ...]:
    shape = tuple(int(n) for n in table.array(0, np.int32))
    signature = tuple(int(n) for n in table.array(7, np.int32))
    # A free batch dimension is how converters write "one sample at a time"; others are in earnest.
    # An empty tensor only ever belongs to an operator that is refused by its name.
    if any(n < 0 for n in (*shape, *signature[1:])):
        raise UnsupportedError(
            f"a dynamic shape {signature or shape}",
            where,
            "a fixed shape (only the batch dimension may be open)",
            "fix the input shape before converting: tf.keras.Input(shape=..., batch_size=1)",
        )
    if len(shape) > 8 or prod(shape) > _MAX_ELEMENTS:
        raise ModelFormatError(f"shape {shape}", where, "at most 8 dimensions, 2**31 elements")
    return shape


def _quantization(table: Table, shape: tuple[int, ...], where: str) -> Quantization | None:
    found = table.table(4)
    if found is None:
        return None
    scales = found.array(2, np.float32)
    zero_points = found.array(3, np.int64)
    if scales.size == 0:
        return None
    if found.u8(4):
        raise UnsupportedError("a custom quantisation", where, "affine: scale and zero point")
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise ModelFormatError("a scale that is not a positive number", where)
    if zero_points.size not in (0, 1, scales.size):
        raise ModelFormatError(
            f"{zero_points.size} zero points for {scales.size} scales", where, "as many as scales"
        )
    zeros = tuple(int(z) for z in zero_points) or (0,)
    if len(zeros) != scales.size:
        zeros *= scales.size
    axis = found.i32(6) if scales.size > 1 else 0
    if scales.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scales.size):
        # Old exporters name the weights' dimension on biases, too.
        if shape != (scales.size,):
            raise ModelFormatError(
                f"{scales.size} scales along dimension {axis} of shape {shape}",
                where,
                "one scale for each element of that dimension",
            )
        axis = 0
    return Quantization(tuple(float(s) for s in scales), zeros, axis)


def _data(
    file: _File, table: Table, shape: tuple[int, ...], dtype: DType, where: str
) -> Array | None:
    index = table.u32(2)
    if index >= len(file.buffers):
        raise ModelFormatError(
            f"buffer {index} does not exist", where, f"0 to {len(file.buffers) - 1}"
        )
    buffer = file.buffers[index]
    if buffer.u64(1) > 1 or table.u32(10):
        raise UnsupportedError("constants outside of the file's own buffers", where)
    raw = buffer.array(0, np.uint8)
    if index == 0 or raw.size == 0:
        return None
    if raw.size != prod(shape) * dtype.itemsize:
        raise ModelFormatError(
            f"{raw.size} bytes of data for shape {shape} of {dtype}",
            where,
            f"{prod(shape) * dtype.itemsize} bytes",
        )
    values: Array = raw.view(dtype.numpy.newbyteorder("<")).reshape(shape)
    values.flags.writeable = False
    return values


def _indices(
    table: Table, slot: int, tensors: tuple[Tensor, ...], where: str, *, optional: bool
) -> tuple[int, ...]:
    found = tuple(int(i) for i in table.array(slot, np.int32))
    lowest = ABSENT if optional else 0
    for index in found:
        if not lowest <= index < len(tensors):
            raise ModelFormatError(
                f"tensor {index} does not exist", where, f"0 to {len(tensors) - 1}"
            )
    return found


def _op(file: _File, index: int, table: Table, tensors: tuple[Tensor, ...]) -> Op:
    code, kind = _kind(file, index, table)
    where = f"op {index} ({kind})"
    inputs = _indices(table, 1, tensors, where, optional=True)
    outputs = _indices(table, 2, tensors, where, optional=False)
    operator = _BY_CODE.get(code)
    if operator is None:
        return Op(kind, inputs, outputs, None, index)
    fewest, most = operator.arity
    if not fewest <= len(inputs) <= most or len(outputs) != 1 or ABSENT in inputs[:fewest]:
        raise ModelFormatError(
            f"{len(inputs)} inputs and {len(outputs)} outputs",
            where,
            f"{fewest} to {most} inputs and one output",
        )
    union = table.u8(3)
    if union not in (0, operator.options_type):
        raise ModelFormatError(
            f"options of another operator (type {union})", where, f"type {operator.options_type}"
        )
    try:
        options = operator.parse(table.table(4) if union else None)
    except CodegenError as error:
        raise type(error)(error.what, where, error.expected, error.hint) from None
    intermediates = _indices(table, 8, tensors, where, optional=False)
    return Op(kind, inputs, outputs, options, index, intermediates)


def _kind(file: _File, index: int, table: Table) -> tuple[int, str]:
    position = table.u32(0)
    if position >= len(file.codes):
        raise ModelFormatError(
            f"operator code {position} does not exist",
            f"op {index}",
            f"0 to {len(file.codes) - 1}",
        )
    entry = file.codes[position]
    # The code outgrew its byte: files carry both fields, and the larger one holds.
    code = max(entry.i8(0), entry.i32(3))
    if code == _CUSTOM:
        return code, f'CUSTOM "{entry.text(1)}"'
    operator = _BY_CODE.get(code)
    return code, operator.kind if operator else builtin_name(code)


def builtin_name(code: int) -> str:
    """The schema's name of an operator that is not in the registry."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator  # noqa: PLC0415 (slow to load)

    for name, value in vars(BuiltinOperator).items():
        if isinstance(value, int) and value == code:
            return str(name)
    return f"BUILTIN_{code}"


def _check_order(graph: Graph) -> None:
    """Every value is made exactly once, before it is used."""
    made = set(graph.inputs)
    for index in graph.inputs:
        if graph.tensors[index].is_constant:
            raise ModelFormatError(f'input "{graph.tensors[index].name}" is a constant', graph.name)
    for op in graph.ops:
        # An unknown operator may have state of its own among its inputs.
        state = state_of(op) if op.kind in REGISTRY else op.inputs
        for index in op.inputs:
            known = index == ABSENT or index in made or graph.tensors[index].is_constant
            if not known and index not in state:
                raise ModelFormatError(
                    f'tensor "{graph.tensors[index].name}" is used before anything made it',
                    graph.where(op),
                )
        for index in op.outputs:
            if index in made or graph.tensors[index].is_constant:
                raise ModelFormatError(
                    f'tensor "{graph.tensors[index].name}" is made twice', graph.where(op)
                )
            made.add(index)
    missing = [graph.tensors[i].name for i in graph.outputs if i not in made]
    if missing or not graph.outputs or not graph.inputs or not graph.ops:
        raise ModelFormatError(
            f'nothing makes output "{missing[0]}"' if missing else "a model without content",
            graph.name,
            "inputs, operators, and outputs that they make",
        )
