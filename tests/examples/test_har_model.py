# SPDX-License-Identifier: Apache-2.0
"""The committed motion model: what it is made of, and how badly a turned sensor does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen import ops
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Sparse

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from fleetgrad_codegen.ir import Graph


@pytest.fixture(scope="module")
def content(checkout: Path) -> bytes:
    return (checkout / "examples" / "har" / "har.tflite").read_bytes()


@pytest.fixture(scope="module")
def model(content: bytes) -> Graph:
    return read_model(content, "har")


def test_it_is_int8_from_end_to_end_and_as_small_as_the_readme_says(model: Graph) -> None:
    assert {model.tensors[i].dtype for i in (*model.inputs, *model.outputs)} == {"int8"}
    assert model.tensors[model.inputs[0]].shape == (1, 128, 1, 6)
    assert sum(ops.REGISTRY[op.kind].macs(model, op) for op in model.ops) == 177_280
    trained = [
        model.tensors[index].size
        for op in model.ops
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        for index in op.inputs[1:3]
    ]
    assert sum(trained) == 8_022


@pytest.mark.parametrize(
    ("scheme", "trained"),
    [
        (LastLayer(), 64 * 6 + 6),
        (Bias(), 326),
        (Sparse(ratio=0.5), 326 + (720 + 576 + 768 + 1536 + 3072) // 2 + 384),
        (Full(), 8022),
    ],
)
def test_every_scheme_trains_it(
    content: bytes, scheme: LastLayer | Bias | Sparse | Full, trained: int
) -> None:
    made = generate(content, "har", scheme=scheme, loss=Loss.SOFTMAX_CROSS_ENTROPY)
    assert sum(segment.count for segment in made.program.segments) == trained


def test_it_knows_strangers_and_fails_when_its_sensor_is_turned(
    model: Graph, motion: ModuleType, shared_data: Path
) -> None:
    windows = motion.read_source(shared_data / "datasets" / "uci_hapt_windows.npz")
    strangers = windows.where((windows.person > 10) & (np.arange(len(windows.y)) % 20 == 0))
    quantization = model.tensors[model.inputs[0]].quantization
    assert quantization is not None
    share = {}
    for degrees in (0.0, 90.0):
        x = motion.model_input(motion.turn(strangers.x, degrees))
        q = np.round(x / quantization.scale[0]) + quantization.zero_point[0]
        samples = np.clip(q, -128, 127).astype(np.int8)
        found = [ops.interpret(model, [one[np.newaxis]])[0].argmax() for one in samples]
        share[degrees] = np.mean(np.array(found) == strangers.y)
    assert share[0.0] > 0.88
    assert share[90.0] < 0.4
