# SPDX-License-Identifier: Apache-2.0
"""What a report is drawn from: a finished run, and what was measured around it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from fleetgrad.results import DeviceReport, RunResult


@dataclass(frozen=True)
class Reference:
    """The float32 run of the same plan, for comparison.

    Attributes:
        name: What it is.
        learning_rate: Of its local SGD.
        accuracy: Pooled held-out accuracy per version: before the first round, then after each.
    """

    name: str
    learning_rate: float
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class MemoryBlock:
    """One tensor's place in the arena.

    Attributes:
        name: Of the tensor.
        offset: Bytes from the start of the arena.
        size: Bytes.
        first: Index of the step that writes it first.
        last: Index of the step that reads it last.
    """

    name: str
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Memory:
    """The arena over one training step.

    Attributes:
        arena_bytes: What the planner needed.
        lower_bound_bytes: The largest sum of tensors alive at one time: no plan can need less.
        steps: Names of the steps, in order.
        timeline: Every tensor's place and life.
    """

    arena_bytes: int
    lower_bound_bytes: int
    steps: tuple[str, ...]
    timeline: tuple[MemoryBlock, ...]


@dataclass(frozen=True)
class Firmware:
    """Sizes of a built image, in bytes.

    Attributes:
        board: Id of the board it was built for.
        text_bytes: Code and constants without the model's weights.
        weights_bytes: The model's constant tensors, in flash.
        data_bytes: Initialised variables.
        bss_bytes: Zeroed variables: arena, parameters and buffers among them.
        stack_bytes: Reserved stack.
        flash_limit: Of the board.
        ram_limit: Of the board.
    """

    board: str
    text_bytes: int
    weights_bytes: int
    data_bytes: int
    bss_bytes: int
    stack_bytes: int
    flash_limit: int
    ram_limit: int

    @property
    def flash_bytes(self) -> int:
        """Everything that lies in flash."""
        return self.text_bytes + self.weights_bytes + self.data_bytes

    @property
    def ram_bytes(self) -> int:
        """Everything that lies in RAM, stack included."""
        return self.data_bytes + self.bss_bytes + self.stack_bytes


@dataclass(frozen=True)
class Report:
    """A finished run with everything that was measured around it.

    Attributes:
        title: Name of the task.
        backend: How the boards run, and why so, in one or two sentences.
        run: What the federation gave back.
        model: Name of the model.
        scheme: What trains.
        seed: Of the run.
        learning_rate: Of the devices' SGD.
        trained_weights: Parameters that train and travel.
        reference: The float32 comparison, where it was run.
        memory: The arena's plan.
        firmware: The image's sizes; None where no image was built for a board.
        instructions_per_step: Of one training step on the board, forward pass included; None where
            not counted.
        instructions_per_inference: Of an inference alone, likewise.
        verified_samples: Held-out samples on which the exported model gave the boards' outputs
            bit for bit; None where not checked.
        seconds: Wall time of everything.
        page: Name of the HTML page, beside the result.
        exported_model: Name of the learned model, beside the result.
    """

    title: str
    backend: str
    run: RunResult
    model: str
    scheme: str
    seed: int
    learning_rate: float
    trained_weights: int
    reference: Reference | None
    memory: Memory
    firmware: Firmware | None
    instructions_per_step: int | None
    instructions_per_inference: int | None
    verified_samples: int | None
    seconds: float
    page: str
    exported_model: str

    @property
    def accuracy(self) -> tuple[float | None, ...]:
        """Pooled held-out accuracy per version: before the first round, then after each."""
        return (self.run.accuracy_before, *(entry.accuracy for entry in self.run.rounds))

    @property
    def uplink_per_weight(self) -> float | None:
        """Uplink bytes per device, round and trained weight, framing included."""
        updates = sum(len(entry.accepted) for entry in self.run.rounds)
        if not updates or not self.trained_weights:
            return None
        return sum(entry.bytes_up for entry in self.run.rounds) / updates / self.trained_weights

    def per_round(self, device: DeviceReport) -> tuple[float, float]:
        """A device's mean bytes up and down per training round."""
        rounds = max(device.rounds, 1)
        return device.bytes_up / rounds, device.bytes_down / rounds

    def to_json(self) -> dict[str, Any]:
        """The document of result.json: the run's keys, and what was measured around it."""
        return {
            **self.run.to_json(),
            "title": self.title,
            "backend": self.backend,
            "model": self.model,
            "scheme": self.scheme,
            "seed": self.seed,
            "learning_rate": self.learning_rate,
            "trained_weights": self.trained_weights,
            "devices": [
                dataclasses.asdict(device) | {"device": f"{device.device:016x}"}
                for device in self.run.devices
            ],
            "uplink_bytes_per_weight": self.uplink_per_weight,
            "reference": None if self.reference is None else dataclasses.asdict(self.reference),
            "memory": dataclasses.asdict(self.memory),
            "firmware": None if self.firmware is None else self._firmware_json(self.firmware),
            "instructions_per_step": self.instructions_per_step,
            "instructions_per_inference": self.instructions_per_inference,
            "verified_samples": self.verified_samples,
            "seconds": round(self.seconds, 1),
            "report": self.page,
            "exported_model": self.exported_model,
        }

    @staticmethod
    def _firmware_json(firmware: Firmware) -> dict[str, Any]:
        totals = {"flash_bytes": firmware.flash_bytes, "ram_bytes": firmware.ram_bytes}
        return dataclasses.asdict(firmware) | totals
