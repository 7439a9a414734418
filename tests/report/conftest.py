# SPDX-License-Identifier: Apache-2.0
"""A finished run that nobody ran."""

from __future__ import annotations

import pytest

from fleetgrad.report import Firmware, Memory, MemoryBlock, Reference, Report
from fleetgrad.results import DeviceReport, RoundReport, RunResult

NAMES = (
    "low gain", "high gain", "low contrast", "turned left", "turned right", "shifted", "noisy",
    "clean",
)  # fmt: skip
ROUNDS = 20


def device(index: int, name: str) -> DeviceReport:
    return DeviceReport(
        device=0x1000 + index,
        name=name,
        train_samples=150 + 9 * index,
        eval_samples=48 + index,
        accuracy_before=0.35 + 0.06 * index,
        accuracy_after=0.86 + 0.015 * index,
        rounds=ROUNDS,
        bytes_up=712 * ROUNDS,
        bytes_down=1500 * ROUNDS,
    )


def one_round(number: int) -> RoundReport:
    return RoundReport(
        round=number,
        version=number + 1,
        selected=tuple(range(8)),
        accepted=tuple(range(8)),
        dropped=(),
        loss=1.4 / number,
        accuracy=0.95 - 0.4 / (number + 0.5) ** 1.1,
        accuracy_at_start=0.5,
        eval_loss_at_start=1.0,
        bytes_up=8 * 701,
        bytes_down=8 * 1466,
        seconds=1.5,
    )


STEPS = (
    "conv2d", "conv2d_1", "max_pool", "conv2d_2", "mean", "dense", "loss", "dense.accumulate",
    "dense.apply",
)  # fmt: skip

TIMELINE = (
    MemoryBlock("input", 0, 64, 0, 0),
    MemoryBlock("conv2d", 512, 1024, 0, 1),
    MemoryBlock("conv2d_1", 1536, 1024, 1, 2),
    MemoryBlock("max_pool", 0, 256, 2, 3),
    MemoryBlock("conv2d_2", 256, 1024, 3, 4),
    MemoryBlock("mean", 0, 64, 4, 7),
    MemoryBlock("dense", 64, 10, 5, 6),
    MemoryBlock("rows", 1280, 512, 7, 8),
    MemoryBlock("gradient", 1792, 20, 6, 8),
)


@pytest.fixture
def report() -> Report:
    rounds = tuple(one_round(number) for number in range(1, ROUNDS + 1))
    run = RunResult(
        run_id="r-1",
        fleet="qemu",
        rounds=rounds,
        accuracy_before=0.512,
        accuracy_after=rounds[-1].accuracy,
        eval_loss_before=1.6,
        eval_loss_after=0.2,
        model_digest="9f" * 32,
        version=21,
        devices=tuple(device(index, name) for index, name in enumerate(NAMES)),
        resumed=False,
    )
    return Report(
        title="Handwritten digits on eight shifted sensors",
        backend="Emulated Cortex-M4 boards (QEMU mps2-an386), because both tools are installed.",
        run=run,
        model="digits",
        scheme="last-layer",
        seed=1,
        learning_rate=0.05,
        trained_weights=650,
        reference=Reference(
            "float32 FedAvg", 0.05, (0.512, *(0.953 - 0.41 / (i + 1.5) ** 1.1 for i in range(20)))
        ),
        memory=Memory(2560, 2112, STEPS, TIMELINE),
        firmware=Firmware("mps2_an386", 19800, 9100, 40, 9800, 2048, 4 << 20, 4 << 20),
        instructions_per_step=12345,
        instructions_per_inference=11000,
        verified_samples=420,
        seconds=63.2,
        page="report.html",
        exported_model="learned.tflite",
    )
