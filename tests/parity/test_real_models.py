# SPDX-License-Identifier: Apache-2.0
"""Generated code for real models: outputs bit for bit, and how good their memory plans are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.verify import Verdict, device_graph, random_inputs, verify
from support.real_models import REAL_MODELS, RealModel

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder


@pytest.mark.parametrize("name", REAL_MODELS)
def test_native_code_meets_golden_outputs(
    shared_data: Path, tmp_path: Path, native: Builder, name: str
) -> None:
    real = RealModel(shared_data, name)
    model = native.load({name: generate(real.data, name)}, tmp_path)[name]
    for x, expected in real.golden():
        np.testing.assert_array_equal(real.leave(model.run(x)), expected)


@pytest.mark.parametrize("name", REAL_MODELS)
def test_native_code_equals_the_reference_on_64_random_inputs(
    shared_data: Path, tmp_path: Path, native: Builder, name: str
) -> None:
    real = RealModel(shared_data, name)
    model = native.load({name: generate(real.data, name)}, tmp_path)[name]
    graph = device_graph(real.data, name)
    verdict = verify(graph, lambda xs: [model.run(x) for x in xs], random_inputs(graph, 64, seed=4))
    assert verdict == Verdict(samples=64, mismatches=0, largest=0)


@pytest.mark.parametrize("name", REAL_MODELS)
def test_no_arena_is_larger_than_the_lower_bound(shared_data: Path, name: str) -> None:
    layout = generate(RealModel(shared_data, name).data, name).memory.layout
    assert layout.arena_bytes == layout.lower_bound_bytes
