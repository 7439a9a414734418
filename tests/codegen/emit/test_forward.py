# SPDX-License-Identifier: Apache-2.0
"""Which tensors share memory."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.forward import assign_regions
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer
from support.models import ModelBuilder, pack, small_cnn, unpack


def chain() -> Graph:
    """0 -QUANTIZE-> 1 -RESHAPE-> 2 -ADD with 1's copy 3-> 4 -SOFTMAX-> 5."""
    made = ModelBuilder()
    made.tensor((1, 2, 4), 0.1, 0)
    made.tensor((1, 2, 4), 0.2, 0)
    made.tensor((1, 8), 0.2, 0)
    made.tensor((1, 8), 0.3, 0)
    made.tensor((1, 8), 0.5, 0)
    made.tensor((1, 8), 1 / 256, -128)
    shape = made.tensor((2,), dtype="int32", data=np.int32((1, 8)))
    made.op("QUANTIZE", [0], [1])
    made.op("RESHAPE", [1, shape], [2], newShape=[1, 8])
    made.op("QUANTIZE", [2], [3])
    made.op("ADD", [2, 3], [4])
    made.op("SOFTMAX", [4], [5], beta=1.0)
    return read_model(made.build([0], [5]), "chain")


def test_views_share_and_dead_inputs_are_taken_over() -> None:
    regions = assign_regions(chain())
    assert regions[0] == regions[1] == regions[2]  # the input is dead after the first operator
    assert regions[3] != regions[2]  # 2 is read again by ADD
    assert regions[4] == regions[2]
    assert regions[5] == regions[4]
    assert regions[3].nbytes == 8


def test_what_training_reads_later_is_not_overwritten() -> None:
    regions = assign_regions(chain(), preserved={4})
    assert regions[5] != regions[4]
    assert assign_regions(chain(), preserved={1})[4] not in (regions[1], regions[2])


def test_a_view_of_something_preserved_is_not_overwritten_either() -> None:
    regions = assign_regions(chain(), preserved={2})
    assert regions[1] == regions[2]
    assert regions[4] == regions[3]  # ADD may still work in its other input


def test_regions_have_short_and_distinct_names() -> None:
    made = ModelBuilder()
    for name in ("in", "body/Relu;body/BiasAdd", "body/Relu;other"):
        made.tensor((1, 2, 2, 1), 0.1, 0)
        made.graph.tensors[-1].name = name
    for source in (0, 1):
        made.op(
            "MAX_POOL_2D", [source], [source + 1],
            padding=0, strideH=1, strideW=1, filterHeight=3, filterWidth=3,
        )  # fmt: skip
    regions = assign_regions(read_model(made.build([0], [2]), "names"))
    assert [regions[i].name for i in range(3)] == ["in", "body/Relu", "body/Relu (2)"]


@pytest.mark.parametrize("name", ["op0 patch", "head inputs", "t0 (3)", "tensor 3", ""])
def test_no_name_of_a_tensor_makes_it_share_memory_with_another_region(name: str) -> None:
    model = unpack(small_cnn(np.random.default_rng(1)))
    plain = generate(pack(model), "m", scheme=LastLayer(), loss=Loss.SOFTMAX_CROSS_ENTROPY)
    for tensor in model.subgraphs[0].tensors[:4]:
        tensor.name = name
    named = generate(pack(model), "m", scheme=LastLayer(), loss=Loss.SOFTMAX_CROSS_ENTROPY)
    assert len(named.memory.layout.placements) == len(plain.memory.layout.placements)
    assert named.memory.layout.arena_bytes == plain.memory.layout.arena_bytes
