# SPDX-License-Identifier: Apache-2.0
"""New heads and new numbers in an existing file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.errors import DataError
from fleetgrad_codegen.frontend.tflite import (
    TensorPatch,
    buffer_location,
    patch_model,
    read_model,
)
from fleetgrad_codegen.ir import Graph, Quantization
from fleetgrad_codegen.ops import interpret
from support.models import ModelBuilder, pack, small_cnn, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from support.oracle import Oracle


def head_of(graph: Graph) -> tuple[int, int, int]:
    """Weights, bias and output of the last fully connected layer, as indices into the file."""
    op = [op for op in graph.ops if op.kind == "FULLY_CONNECTED"][-1]
    weights, bias, output = (graph.tensors[i].source for i in (*op.inputs[1:], *op.outputs))
    assert weights is not None
    assert bias is not None
    assert output is not None
    return weights, bias, output


def new_head(data: bytes, classes: int, rng: np.random.Generator) -> bytes:
    """A fresh last layer for another number of classes, with per-channel scales."""
    graph = read_model(data, "model")
    weights, bias, output = head_of(graph)
    depth = graph.tensors[weights].shape[1]
    source = graph.tensors[graph.ops[-2].inputs[0]].quantization
    assert source is not None
    scales = np.float32(rng.uniform(0.005, 0.02, classes))
    bias_scales = tuple(float(s) for s in np.float32(source.scale[0]) * scales)
    zeros = (0,) * classes
    return patch_model(
        data,
        [
            TensorPatch(
                weights,
                (classes, depth),
                Quantization(tuple(float(s) for s in scales), zeros),
                rng.integers(-127, 128, (classes, depth), np.int8),
            ),
            TensorPatch(
                bias,
                (classes,),
                Quantization(bias_scales, zeros),
                rng.integers(-99, 99, classes, np.int32),
            ),
            TensorPatch(output, (1, classes), Quantization((0.25,), (-7,))),
            TensorPatch(graph.outputs[0], (1, classes)),
        ],
    )


def run_both(data: bytes, oracle: Oracle, rng: np.random.Generator) -> np.ndarray:
    graph = read_model(data, "patched")
    x = rng.integers(-128, 128, graph.tensors[graph.inputs[0]].shape, np.int8)
    (ours,) = interpret(graph, [x])
    np.testing.assert_array_equal(ours, oracle.run(data, [x])[0])
    return ours


@pytest.mark.parametrize("classes", [2, 4, 37])
def test_a_new_head_loads_in_litert_and_gives_the_same_outputs(
    litert: Oracle, classes: int
) -> None:
    rng = np.random.default_rng(classes)
    patched = new_head(small_cnn(rng), classes, rng)
    assert run_both(patched, litert, rng).shape == (1, classes)


@pytest.mark.parametrize("name", ["mlperf_kws_ref_model", "mlperf_ic_pretrainedResnet_quant"])
def test_a_real_model_gets_a_new_head(shared_data: Path, litert: Oracle, name: str) -> None:
    rng = np.random.default_rng(5)
    data = (shared_data / "models" / f"{name}.tflite").read_bytes()
    assert run_both(new_head(data, 3, rng), litert, rng).shape == (1, 3)


def test_nothing_else_changes() -> None:
    data = small_cnn(np.random.default_rng(6))
    before, after = read_model(data, "m"), read_model(patch_model(data, []), "m")
    assert [op.kind for op in before.ops] == [op.kind for op in after.ops]
    assert [op.options for op in before.ops] == [op.options for op in after.ops]
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert (old.name, old.shape, old.dtype, old.quantization) == (
            new.name,
            new.shape,
            new.dtype,
            new.quantization,
        )
        if old.data is not None:
            np.testing.assert_array_equal(old.data, new.data)


def test_the_same_patch_gives_the_same_bytes() -> None:
    data = small_cnn(np.random.default_rng(7))
    assert new_head(data, 5, np.random.default_rng(8)) == new_head(
        data, 5, np.random.default_rng(8)
    )


def test_data_can_be_changed_in_place(litert: Oracle) -> None:
    rng = np.random.default_rng(9)
    data = new_head(small_cnn(rng), 6, rng)
    weights, bias, _ = head_of(read_model(data, "m"))
    changed = bytearray(data)
    for index, values in (
        (weights, rng.integers(-127, 128, (6, 64), np.int8)),
        (bias, rng.integers(-9999, 9999, 6, np.int32)),
    ):
        offset, length = buffer_location(data, index)
        assert length == values.nbytes
        assert offset % 16 == 0
        changed[offset : offset + length] = values.tobytes()
        read = read_model(bytes(changed), "m").tensors[index].data
        np.testing.assert_array_equal(read, values)
    run_both(bytes(changed), litert, rng)


def shared_constants() -> bytes:
    """Two layers whose biases are one buffer, as converters store equal constants."""
    made = ModelBuilder()
    made.tensor((1, 3), 0.1)
    for position in (0, 1):
        made.tensor((3, 3), 0.1, data=np.eye(3, dtype=np.int8))
        made.tensor((3,), 0.01, dtype="int32", data=np.zeros(3, np.int32))
        made.tensor((1, 3), 0.1)
        first = 3 * position
        made.op("FULLY_CONNECTED", (first, first + 1, first + 2), (first + 3,))
    made.graph.tensors[5].buffer = made.graph.tensors[2].buffer
    return made.build([0], [6])


def test_a_shared_buffer_is_not_patched_for_both() -> None:
    data = shared_constants()
    with pytest.raises(DataError, match="shares its data"):
        buffer_location(data, 5)
    patched = patch_model(data, [TensorPatch(5, data=np.int32([7, 8, 9]))])
    graph = read_model(patched, "m")
    np.testing.assert_array_equal(graph.tensors[2].data, [0, 0, 0])
    np.testing.assert_array_equal(graph.tensors[5].data, [7, 8, 9])
    assert buffer_location(patched, 5) != buffer_location(patched, 2)


def test_a_buffer_that_metadata_uses_is_left_alone() -> None:
    model = unpack(small_cnn(np.random.default_rng(1)))
    from ai_edge_litert import schema_py_generated as schema

    entry = schema.MetadataT()
    entry.name, entry.buffer = "note", model.subgraphs[0].tensors[1].buffer
    model.metadata = [entry]
    before = bytes(model.buffers[entry.buffer].data)
    weights = np.zeros((4, 3, 3, 1), np.int8)
    patched = unpack(patch_model(pack(model), [TensorPatch(1, data=weights)]))
    assert bytes(patched.buffers[patched.metadata[0].buffer].data) == before


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (TensorPatch(999), "does not exist"),
        (TensorPatch(1, data=np.zeros(3, np.int8)), "shape (3,)"),
        (TensorPatch(1, data=np.zeros((4, 3, 3, 1), np.int16)), "int16"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: TensorPatch, said: str) -> None:
    with pytest.raises(DataError) as caught:
        patch_model(small_cnn(np.random.default_rng(1)), [patch])
    assert said in str(caught.value)


def test_the_location_of_an_activation_is_refused() -> None:
    with pytest.raises(DataError, match="no constant data"):
        buffer_location(small_cnn(np.random.default_rng(1)), 0)
