# SPDX-License-Identifier: Apache-2.0
"""Trained weights that are int8 only while they are needed: less memory, the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.plan import check_layout
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Full, LastLayer, Lora, Sparse
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan
from support.deep_models import DEEP
from support.learning import learn

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder

CE = Loss.SOFTMAX_CROSS_ENTROPY
SCHEMES = {
    "sparse": Sparse(ratio=0.4),
    "full": Full(),
    "last-two": Full(layers=2),
    "lora": Lora(rank=2),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("recomputing", [False, True])
def test_training_is_the_specifications(
    native: Builder, tmp_path: Path, name: str, scheme: str, *, recomputing: bool
) -> None:
    model = DEEP[name](np.random.default_rng(3))
    chosen = SCHEMES[scheme]
    bundle = generate(model, name, scheme=chosen, loss=CE, recomputing=recomputing, paging=True)
    assert bundle.program.paged
    assert bundle.manifest["shadow_bytes"] == 0
    check_layout(bundle.memory.layout)
    device = native.load({name: bundle}, tmp_path)[name]
    graph = bundle.program.graph
    dice = np.random.default_rng(9)
    x = dice.integers(-128, 128, (9, *graph.tensors[graph.inputs[0]].shape[1:]), np.int8)
    labels = dice.integers(0, bundle.program.training.classes, len(x))
    plan = LocalPlan(LearningRate.of(0.02), epochs=5, seed=3)
    learn(bundle, device, chosen, x, labels, plan=plan)


def test_batches_of_the_last_layer_too(native: Builder, tmp_path: Path) -> None:
    model = DEEP["separable"](np.random.default_rng(3))
    bundles = {
        name: generate(model, "m", scheme=LastLayer(), loss=CE, batch=3, paging=name == "paged")
        for name in ("paged", "kept")
    }
    paged, kept = bundles["paged"], bundles["kept"]
    assert paged.program.paged
    assert not kept.program.paged
    assert paged.memory.ram_bytes < kept.memory.ram_bytes
    devices = native.load(bundles, tmp_path)
    dice = np.random.default_rng(9)
    size = kept.manifest["input"]["shape"]
    x = dice.integers(-128, 128, (12, *size[1:]), np.int8)
    results = []
    for device in devices.values():
        device.params[:] = np.frombuffer(kept.files["params.bin"], np.uint8)
        device.refresh()
        seen = []
        for step in range(4):
            seen += [device.accumulate(x[3 * step + row], row % 2, row) for row in range(3)]
            assert device.apply(3, 20000, 0, step) == 0
        results.append((seen, device.params.tobytes(), device.run(x[0]).tobytes()))
    assert results[0] == results[1]
    assert results[0][1] != kept.files["params.bin"]


def test_nothing_to_page_changes_nothing() -> None:
    model = DEEP["separable"](np.random.default_rng(3))
    assert generate(model, "m", paging=True).files == generate(model, "m").files
