# SPDX-License-Identifier: Apache-2.0
"""A model that is too large for a board's main memory trains with the help of another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, list_boards, load_board
from fleetgrad.errors import BoardError
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Full
from fleetgrad_codegen.training.fixed_point import LearningRate
from support.deep_models import DEEP

pytestmark = pytest.mark.emulated

RATE = LearningRate.of(0.02)


BOARDS = [board.id for board in list_boards(paths.boards()) if board.regions and board.qemu]


@pytest.mark.parametrize("name", BOARDS)
def test_training_is_the_same_wherever_memory_lies(mps2: Board, tmp_path: Path, name: str) -> None:
    board = load_board(paths.boards(), name)
    model = DEEP["separable"](np.random.default_rng(3))
    bundle = generate(model, "separable", scheme=Full(), loss=Loss.SOFTMAX_CROSS_ENTROPY)
    bundle.write(tmp_path / "bundle")
    dice = np.random.default_rng(2)
    graph = bundle.program.graph
    x = dice.integers(-127, 128, (6, graph.tensors[graph.inputs[0]].nbytes), np.int8)
    labels = dice.integers(0, bundle.program.training.classes, 6).astype(np.uint32)
    job = TrainingJob(12, 1, RATE.mantissa, RATE.exponent, 7)

    roomy = build_image(tmp_path / "bundle", board, "bench", tmp_path / "roomy")
    assert set(roomy.places.values()) == {"RAM"}
    assert roomy.region_bytes == 0
    # As small as it can be without the arena, and less than it takes with it.
    arena = bundle.memory.layout.arena_bytes
    small = replace(board, ram_bytes=roomy.ram_bytes - arena // 2 // 8 * 8)
    with pytest.raises(BoardError, match=r"larger than the ram|room for the"):
        build_image(tmp_path / "bundle", replace(small, regions=()), "bench", tmp_path / "none")
    split = build_image(tmp_path / "bundle", small, "bench", tmp_path / "split")
    assert "PSRAM" in split.places.values()
    assert split.places["shadow"] == "RAM"
    assert split.ram_bytes <= small.ram_bytes
    assert split.region_bytes > 0

    results = [
        bench_training(one, image, x, labels, job)
        for one, image in ((board, roomy), (small, split))
    ]
    assert results[0].params == results[1].params != bundle.files["params.bin"]


def test_what_fits_nowhere_is_named(mps2: Board, tmp_path: Path) -> None:
    model = DEEP["separable"](np.random.default_rng(3))
    bundle = generate(model, "separable", scheme=Full(), loss=Loss.SOFTMAX_CROSS_ENTROPY)
    bundle.write(tmp_path / "bundle")
    tiny = replace(mps2, ram_bytes=4096, regions=(replace(mps2.regions[0], bytes=256),))
    with pytest.raises(BoardError, match=r"room for the (arena|shadow|params)"):
        build_image(tmp_path / "bundle", tiny, "node", tmp_path / "image")
