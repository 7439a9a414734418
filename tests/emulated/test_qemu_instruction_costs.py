# SPDX-License-Identifier: Apache-2.0
"""What a board's file says of its kernels, against what the emulator counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.cli.auto import rates_of
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer
from fleetgrad_codegen.search import search_space
from fleetgrad_codegen.search.costs import planned_cost

SAMPLES = 4


@pytest.mark.emulated
@pytest.mark.parametrize("part", ["biases", "whole"])
def test_estimates_of_a_real_network_are_near(
    shared_data: Path, tmp_path: Path, emulator: None, part: str
) -> None:
    model = (shared_data / "models" / "mlperf_kws_ref_model.tflite").read_bytes()
    space = search_space(model, "kws", loss=Loss.SOFTMAX_CROSS_ENTROPY, last=LastLayer(classes=3))
    choice = space.whole() if part == "whole" else space.biases(len(space.layers))
    board = load_board(paths.boards(), "mps2_an386")
    said, _ = planned_cost(space, choice, rates_of(board))
    generate(model, "kws", scheme=space.scheme(choice), loss=space.loss).write(tmp_path / "bundle")
    image = build_image(tmp_path / "bundle", board, "bench", tmp_path / "image")
    rng = np.random.default_rng(2)
    result = bench_training(
        board,
        image,
        rng.integers(-128, 128, (SAMPLES, 490), np.int8),
        rng.integers(0, 3, SAMPLES).astype(np.uint32),
        TrainingJob(SAMPLES, 1, 1 << 14, -7, 1),
    )
    counted = sum(result.instructions) / SAMPLES
    assert said.instructions == pytest.approx(counted, rel=0.25)
