# SPDX-License-Identifier: Apache-2.0
"""A head's training step on an emulated Cortex-M4: bit for bit the specification, and its price."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad.boards import Board
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer, device_head
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.head import MASTER_UNITS
from fleetgrad_codegen.training.loss import loss_and_gradient
from fleetgrad_codegen.training.update import shadow_of, update
from support.heads import classifier

pytestmark = pytest.mark.emulated

INPUTS, CLASSES, STEPS, KEY = 64, 10, 40, 77
RATE = LearningRate.of(0.01)
BUDGET = 20_000
"""Instructions of a step, forward pass, softmax, loss, gradient and update of the head included."""


def _bundle(batch: int) -> Bundle:
    model = classifier(np.random.default_rng(1), INPUTS, CLASSES)
    scheme = LastLayer()
    return generate(model, "head", scheme=scheme, loss=Loss.SOFTMAX_CROSS_ENTROPY, batch=batch)


def _expected(bundle: Bundle, x: np.ndarray, labels: np.ndarray, rows: int) -> bytes:
    """The parameter vector after the same steps in NumPy."""
    site, head = device_head(bundle.files["model.tflite"], "head", Loss.SOFTMAX_CROSS_ENTROPY)
    masters = site.weights.data.astype(np.int64) * MASTER_UNITS
    bias = site.bias.data.astype(np.int64)
    for step in range(STEPS):
        picks = np.arange(step * rows, (step + 1) * rows) % len(x)
        centred, acc = head.accumulate(x[picks], shadow_of(masters), bias)
        _, gradient = loss_and_gradient(head, labels[picks], acc)
        masters, bias = update(
            head,
            masters=masters,
            bias=bias,
            centred=centred,
            gradient=gradient,
            rate=RATE,
            key=rng.step_key(KEY, step),
        )
    return bias.astype("<i4").tobytes() + masters.astype("<i2").tobytes()


@pytest.mark.parametrize("rows", [1, 4])
def test_steps_on_the_board_are_the_specification_and_within_budget(
    mps2: Board, tmp_path: Path, rows: int
) -> None:
    bundle = _bundle(rows)
    bundle.write(tmp_path / "bundle")
    image = build_image(tmp_path / "bundle", mps2, "bench", tmp_path / "image")
    dice = np.random.default_rng(2)
    x = dice.integers(-127, 128, (25, INPUTS), np.int8)  # none at the zero point: the worst case
    labels = dice.integers(0, CLASSES, 25)
    job = TrainingJob(STEPS, rows, RATE.mantissa, RATE.exponent, KEY)
    result = bench_training(mps2, image, x, labels.astype(np.uint32), job)
    assert result.params == _expected(bundle, x, labels, rows)
    assert max(result.instructions) <= BUDGET * rows
    print(
        f"{rows} rows: {np.mean(result.instructions):.0f} instructions per step, at most "
        f"{max(result.instructions)}, "
        f"{np.mean(result.apply_instructions):.0f} of them in the update"
    )
