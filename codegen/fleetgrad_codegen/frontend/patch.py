# SPDX-License-Identifier: Apache-2.0
"""Rewrites tensors of a ``.tflite`` file: a new head, wider scales, learned weights.

Everything else in the file (other tensors, metadata, signatures) stays as it was.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fleetgrad_codegen.errors import DataError, ModelFormatError
from fleetgrad_codegen.frontend.flatbuffer import Table, Vector
from fleetgrad_codegen.ir import Array, Quantization

_ALIGNMENT = 16  # of constant data, which interpreters map straight from the file


@dataclass(frozen=True, slots=True, eq=False)
class TensorPatch:
    """What changes about one tensor; None leaves things as they are.

    Attributes:
        tensor: Index of the tensor in the file, `Tensor.source`.
        shape: New shape.
        quantization: New scales and zero points.
        data: New constant data, in the tensor's own dtype and (new) shape. The tensor then gets a
            buffer that it shares with no other.
    """

    tensor: int
    shape: tuple[int, ...] | None = None
    quantization: Quantization | None = None
    data: Array | None = None


def patch_model(data: bytes, patches: Sequence[TensorPatch]) -> bytes:
    """Rewrites a model with some of its tensors changed.

    Args:
        data: A ``.tflite`` file that the frontend has read without complaint.
        patches: What to change. Where the result of a RESHAPE gets a new shape, the operator's
            options follow; other operators take their shapes from their tensors.

    Returns:
        A complete ``.tflite`` file, the same for the same arguments.

    Raises:
        DataError: A patch names a tensor that does not exist, or its data does not fit.
        ModelFormatError: The file cannot be taken apart.
    """
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 (slow to load)

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        """The generated packer aligns bytes to 4 only."""

        def Pack(self, builder: Any) -> Any:  # noqa: N802
            if self.data is not None:
                builder.Prep(_ALIGNMENT, len(self.data))
            return super().Pack(builder)

    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
    ) as error:
        raise ModelFormatError(
            f"the file cannot be taken apart: {error}", expected="a complete .tflite file"
        ) from error
    model.buffers = [AlignedBuffer(b.data, b.offset, b.size) for b in model.buffers]
    subgraph = model.subgraphs[0]
    for patch in patches:
        if not 0 <= patch.tensor < len(subgraph.tensors):
            raise DataError(
                f"tensor {patch.tensor} does not exist",
                expected=f"0 to {len(subgraph.tensors) - 1}",
            )
        tensor = subgraph.tensors[patch.tensor]
        if patch.shape is not None:
            _reshape(tensor, patch.shape)
            _follow_reshape(model, patch)
        if patch.quantization is not None:
            _requantise(tensor, patch.quantization, schema.QuantizationParametersT())
        if patch.data is not None:
            _check_data(tensor, patch, schema.TensorType)
            buffer = AlignedBuffer(np.frombuffer(patch.data.tobytes(), np.uint8))
            if _users(model, tensor.buffer) == 1 and tensor.buffer:
                model.buffers[tensor.buffer] = buffer
            else:
                tensor.buffer = len(model.buffers)
                model.buffers.append(buffer)

    import flatbuffers  # noqa: PLC0415

    builder = flatbuffers.Builder(len(data) + 1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def buffer_location(data: bytes, tensor_index: int) -> tuple[int, int]:
    """Where the constant data of a tensor lies in a file, so that it can be changed in place.

    Args:
        data: A ``.tflite`` file that the frontend has read without complaint.
        tensor_index: Index of the tensor in the file, `Tensor.source`.

    Returns:
        Offset and length in bytes.

    Raises:
        DataError: The tensor does not exist, is not constant, or shares its data with another; in
            the last case ``patch_model`` can give it data of its own.
    """
    model = Table.root(data)
    tensors = model.tables(2)[0].tables(0)
    if not 0 <= tensor_index < len(tensors):
        raise DataError(
            f"tensor {tensor_index} does not exist", expected=f"0 to {len(tensors) - 1}"
        )
    tensor = tensors[tensor_index]
    where = f'tensor {tensor_index} "{tensor.text(3)}"'
    buffer = tensor.u32(2)
    found = model.tables(4)[buffer].vector(0, 1)
    if not buffer or found is None or not found.count:
        raise DataError("the tensor has no constant data", where)
    if sum(other.u32(2) == buffer for other in tensors) > 1:
        raise DataError(
            "the tensor shares its data with another",
            where,
            "data of its own",
            "patch it with its own data first",
        )
    return found.start, found.count


def scale_location(data: bytes, tensor_index: int) -> tuple[int, int]:
    """Where the scales of a tensor lie in a file: offset, and number of float32 values.

    Args:
        data: A ``.tflite`` file that the frontend has read without complaint.
        tensor_index: Index of the tensor in the file, `Tensor.source`.

    Raises:
        DataError: The tensor has no scales, or shares them with another; in the last case
            ``patch_model`` can give it scales of its own.
    """
    found = _scales(data)
    where = f"tensor {tensor_index}"
    if not 0 <= tensor_index < len(found):
        raise DataError(f"{where} does not exist", expected=f"0 to {len(found) - 1}")
    scales = found[tensor_index]
    if scales is None or not scales.count:
        raise DataError("the tensor has no scales", where)
    if sum(other is not None and other.start == scales.start for other in found) > 1:
        raise DataError(
            "the tensor shares its scales with another",
            where,
            "scales of its own",
            "patch it with its own quantisation first",
        )
    return scales.start, scales.count


def _scales(data: bytes) -> list[Vector | None]:
    tensors = Table.root(data).tables(2)[0].tables(0)
    tables = [tensor.table(4) for tensor in tensors]
    return [None if table is None else table.vector(2, 4) for table in tables]


def _reshape(tensor: Any, shape: tuple[int, ...]) -> None:
    old = tensor.shapeSignature
    tensor.shape = list(shape)
    if old is not None:
        same_rank = len(old) == len(shape)
        tensor.shapeSignature = [
            -1 if same_rank and old[i] == -1 else n for i, n in enumerate(shape)
        ]


def _follow_reshape(model: Any, patch: TensorPatch) -> None:
    for op in model.subgraphs[0].operators:
        if patch.tensor in op.outputs and hasattr(op.builtinOptions, "newShape"):
            op.builtinOptions.newShape = list(patch.shape or ())


def _requantise(tensor: Any, quantization: Quantization, fresh: Any) -> None:
    found = tensor.quantization or fresh
    found.scale = list(quantization.scale)
    found.zeroPoint = list(quantization.zero_point)
    found.quantizedDimension = quantization.axis
    found.min = found.max = None  # of the old scales
    tensor.quantization = found


def _check_data(tensor: Any, patch: TensorPatch, types: Any) -> None:
    values = patch.data
    assert values is not None
    shape = tuple(int(n) for n in (() if tensor.shape is None else tensor.shape))
    wanted = getattr(types, values.dtype.name.upper(), None)
    if values.shape != shape or wanted != tensor.type:
        raise DataError(
            f"data of shape {values.shape} and type {values.dtype}",
            f"tensor {patch.tensor}",
            f"shape {shape} and the tensor's own type",
        )


def _users(model: Any, buffer: int) -> int:
    tensors = [t.buffer for g in model.subgraphs for t in g.tensors]
    return (tensors + [m.buffer for m in model.metadata or []]).count(buffer)
