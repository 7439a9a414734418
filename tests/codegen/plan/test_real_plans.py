# SPDX-License-Identifier: Apache-2.0
"""Plans of real models, with every scheme: how far from the bound, how long, and how estimated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from fleetgrad_codegen.bundle import plan_program, prepare
from fleetgrad_codegen.cost import buffers_of, estimate
from fleetgrad_codegen.forward import build_program
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.plan import place
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Sparse, find_head
from support.real_models import REAL_MODELS, RealModel

if TYPE_CHECKING:
    from pathlib import Path

    from fleetgrad_codegen.program import Program

MOST_OVER_BOUND = 1.05
SECONDS = 4.0  # of one placement, on a machine twice as slow as a desktop

UNTRAINABLE = {
    "mltk_autoencoder_int8": ("last-layer", "bias", "sparse", "full"),
    "tflm_keyword_scrambled_8bit": ("bias", "sparse", "full"),
}
SCHEMES: dict[str, Any] = {
    "none": None,
    "last-layer": LastLayer(),
    "bias": Bias(),
    "sparse": Sparse(),
    "full": Full(),
}
CASES = [
    (model, scheme)
    for model in REAL_MODELS
    for scheme in SCHEMES
    if scheme not in UNTRAINABLE.get(model, ())
]


def program_of(data: bytes, name: str, scheme: str) -> Program:
    """The timeline, with the loss that fits the model's end."""
    loss = Loss.NONE
    if scheme != "none":
        _, graph, _ = split_boundary(read_model(data, name))
        softmax = find_head(graph).softmax
        loss = Loss.SOFTMAX_CROSS_ENTROPY if softmax else Loss.SQUARED_ERROR
    return prepare(data, name, scheme=SCHEMES[scheme], loss=loss)[2]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "scheme"), CASES)
def test_the_arena_is_near_its_bound(shared_data: Path, model: str, scheme: str) -> None:
    program = program_of(RealModel(shared_data, model).data, model, scheme)
    buffers = buffers_of(program)
    started = time.process_time()
    layout = place(buffers)
    assert time.process_time() - started < SECONDS
    assert layout.arena_bytes <= MOST_OVER_BOUND * layout.lower_bound_bytes
    for step in range(len(program.steps)):
        assert (
            sum(b.size_at(step) for b in buffers if b.first <= step <= b.last) <= layout.arena_bytes
        )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("model", ["mlperf_kws_ref_model", "mlperf_ic_pretrainedResnet_quant"])
def test_estimates_agree_with_the_plan(shared_data: Path, model: str, scheme: str) -> None:
    program = program_of(RealModel(shared_data, model).data, model, scheme)
    cost, (plan, _) = estimate(program), plan_program(program)
    assert cost.arena_bytes == plan.layout.lower_bound_bytes
    assert cost.ram_bytes - cost.arena_bytes == plan.ram_bytes - plan.layout.arena_bytes
    assert cost.param_bytes == plan.param_bytes
    assert cost.flash_bytes == pytest.approx(plan.weights_flash_bytes, rel=0.15)


def test_a_ds_cnn_is_estimated_in_milliseconds(shared_data: Path) -> None:
    model = "mlperf_kws_ref_model"
    data = Sparse().adapt(RealModel(shared_data, model).data, model)
    _, graph, _ = split_boundary(read_model(data, model))

    def once() -> float:
        started = time.process_time()
        training = Sparse().prepare(graph, Loss.SOFTMAX_CROSS_ENTROPY, 1)
        estimate(build_program(training.graph, training))
        return time.process_time() - started

    assert min(once() for _ in range(5)) < 0.02
