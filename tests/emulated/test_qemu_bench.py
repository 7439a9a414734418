# SPDX-License-Identifier: Apache-2.0
"""The bench firmware: the same numbers as everywhere else, and exact counts of instructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad.boards import Board
from fleetgrad.errors import DataError, ToolError
from fleetgrad.toolchain import Image, build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_forward, bench_training
from support.fake_model import (
    FAKE_BUNDLE,
    PARAM_BYTES,
    POISON,
    FakeModel,
    Samples,
    mix32,
)

pytestmark = pytest.mark.emulated

BASE = np.random.default_rng(4).integers(0, 256, PARAM_BYTES, np.uint8).tobytes()
SAMPLES = Samples.random(7, seed=6)
JOB = TrainingJob(steps=5, rows=2, lr_mantissa=20000, lr_exponent=-3, round_key=77)


@pytest.fixture(scope="session")
def bench(mps2: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(FAKE_BUNDLE, mps2, "bench", tmp_path_factory.mktemp("bench"))


def test_outputs_are_the_models(mps2: Board, bench: Image) -> None:
    result = bench_forward(mps2, bench, SAMPLES.x, output_bytes=10, params=BASE)
    model = FakeModel.load(BASE)
    assert result.outputs.tolist() == [model.forward(x) for x in SAMPLES.x]


def test_training_is_the_models(mps2: Board, bench: Image) -> None:
    labels = SAMPLES.y.astype(np.uint32)
    result = bench_training(mps2, bench, SAMPLES.x, labels, JOB, params=BASE)
    model, losses = FakeModel.load(BASE), []
    for step in range(JOB.steps):
        picks = [(step * JOB.rows + row) % len(SAMPLES.x) for row in range(JOB.rows)]
        losses.append(
            sum(
                model.accumulate(SAMPLES.x[pick], int(labels[pick]), row)
                for row, pick in enumerate(picks)
            )
        )
        key = mix32(JOB.round_key + step * 0x9E3779B9)
        model.apply(JOB.rows, JOB.lr_mantissa, JOB.lr_exponent, key)
    assert list(result.losses) == losses
    assert result.params == model.params()


def test_counts_are_exactly_repeatable(mps2: Board, bench: Image) -> None:
    first, second = (
        bench_training(mps2, bench, SAMPLES.x, SAMPLES.y.astype(np.uint32), JOB) for _ in range(2)
    )
    assert first == second
    assert len(set(first.apply_instructions)) == 1  # no branch of it depends on the data


def test_counts_are_of_single_instructions(mps2: Board, bench: Image, tmp_path: Path) -> None:
    """One more nop in the forward pass is one more instruction."""
    counts = []
    for nops in (0, 1, 1000):
        folder = tmp_path / str(nops)
        folder.mkdir()
        for name in ("model.c", "model.h"):
            text = (FAKE_BUNDLE / name).read_text()
            head = "static fg_status forward(const fg_model_state *state) {\n"
            extra = f'    __asm volatile(".rept {nops}\\n nop\\n .endr");\n'
            folder.joinpath(name).write_text(text.replace(head, head + extra))
        image = build_image(folder, mps2, "bench", folder / "out")
        counts += bench_forward(mps2, image, SAMPLES.x[:1], output_bytes=10).instructions
    assert counts[1] - counts[0] == 1
    assert counts[2] - counts[0] == 1000


def test_long_runs_are_counted_too(mps2: Board, bench: Image, tmp_path: Path) -> None:
    """More ticks than the 32-bit timer has."""
    loops = 90_000_000
    source = (FAKE_BUNDLE / "model.c").read_text()
    head = "static fg_status forward(const fg_model_state *state) {\n"
    loop = r'__asm volatile("1: subs %0, #1\n bne 1b" : "+l"(left));'
    body = f"    uint32_t left = {loops}U;\n    {loop}\n"
    (tmp_path / "model.c").write_text(source.replace(head, head + body))
    (tmp_path / "model.h").write_text((FAKE_BUNDLE / "model.h").read_text())
    image = build_image(tmp_path, mps2, "bench", tmp_path / "out")
    (long,) = bench_forward(mps2, image, SAMPLES.x[:1], output_bytes=10).instructions
    (short,) = bench_forward(mps2, bench, SAMPLES.x[:1], output_bytes=10).instructions
    assert 0 <= long - short - 2 * loops <= 4  # loading the counter


def test_the_static_stack_bound_holds(mps2: Board, bench: Image) -> None:
    result = bench_training(mps2, bench, SAMPLES.x, SAMPLES.y.astype(np.uint32), JOB)
    assert 0 < result.stack_bytes <= bench.stack_bytes


def test_a_kernel_that_refuses_is_named(mps2: Board, bench: Image) -> None:
    poisoned = SAMPLES.x.copy()
    poisoned[3, 0] = POISON
    with pytest.raises(ToolError, match="reports -1"):
        bench_forward(mps2, bench, poisoned, output_bytes=10)


def test_a_job_larger_than_its_memory_is_refused(mps2: Board, bench: Image) -> None:
    with pytest.raises(DataError, match="a job of"):
        bench_forward(mps2, bench, np.zeros((300_000, 64), np.int8), output_bytes=10)


def test_a_board_that_computes_for_too_long_is_stopped(mps2: Board, bench: Image) -> None:
    with pytest.raises(ToolError, match=r"more than"):
        bench_forward(mps2, bench, np.zeros((100_000, 64), np.int8), output_bytes=10, timeout_s=0.2)
