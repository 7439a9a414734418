# SPDX-License-Identifier: Apache-2.0
"""Where a constant's bytes lie in a ``.tflite`` file, so that they can be replaced in place."""

from fleetgrad_codegen.errors import ModelFormatError
from fleetgrad_codegen.frontend.flatbuffer import Table


def constant_span(data: bytes, tensor: int) -> tuple[int, int]:
    """Byte offset and size of a constant tensor's data.

    Args:
        data: A model file.
        tensor: Index of the tensor in the file.

    Raises:
        ModelFormatError: The tensor has no data of its own, or shares it with another one.
    """
    model = Table.root(data)
    tensors = model.tables(2)[0].tables(0)
    buffer = tensors[tensor].u32(2)
    where = f'tensor {tensor} "{tensors[tensor].text(3)}"'
    found = model.tables(4)[buffer].vector(0, 1)
    if found is None or not found.count:
        raise ModelFormatError("a trained tensor has no data in the file", where)
    if sum(other.u32(2) == buffer for other in tensors) > 1:
        raise ModelFormatError(
            "a trained tensor shares its data with another one", where, "a buffer of its own"
        )
    return found.start, found.count
