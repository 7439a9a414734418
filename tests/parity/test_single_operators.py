# SPDX-License-Identifier: Apache-2.0
"""Generated code for one operator at a time, bit for bit against its NumPy reference."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.verify import reference_outputs
from support.single_ops import SINGLE_OPS
from support.strategies import int8s

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder

MODELS, INPUTS = 24, 6


@pytest.mark.parametrize("kind", SINGLE_OPS)
def test_native_code_equals_the_reference(tmp_path: Path, native: Builder, kind: str) -> None:
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    files = {str(index): SINGLE_OPS[kind](rng) for index in range(MODELS)}
    bundles = {name: generate(data, kind) for name, data in files.items()}
    for name, model in native.load(bundles, tmp_path).items():
        graph = read_model(files[name], kind)
        shape = graph.tensors[graph.inputs[0]].shape
        inputs = [int8s(rng, shape) for _ in range(INPUTS)]
        for x, expected in zip(inputs, reference_outputs(graph, inputs), strict=True):
            np.testing.assert_array_equal(model.run(x), expected.reshape(-1), f"model {name}")
