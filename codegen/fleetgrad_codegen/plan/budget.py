# SPDX-License-Identifier: Apache-2.0
"""What a plan costs, and whether a board can pay for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetgrad_codegen.errors import BudgetError
from fleetgrad_codegen.plan.buffers import Buffer, Layout, live_at

_BLAMED = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """What a board has left for the model: memory minus the runtime's code, data and stack.

    Attributes:
        flash_bytes: For weights and other constants.
        ram_bytes: For arena, state, parameters, their base and their shadow.
    """

    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The memory side of a generated model.

    Attributes:
        layout: Where each buffer lies.
        steps: Names of the timeline's steps.
        param_bytes: The parameter vector.
        shadow_bytes: Trained weights as int8.
        weights_flash_bytes: Constant tables, the initial parameters included.
        persistent_bytes: Operators' state, which outlives a run.
    """

    layout: Layout
    steps: tuple[str, ...]
    param_bytes: int
    shadow_bytes: int
    weights_flash_bytes: int
    persistent_bytes: int = 0

    @property
    def params_ram_bytes(self) -> int:
        """Parameters, the global version they started from, and the shadow."""
        return 2 * self.param_bytes + self.shadow_bytes

    @property
    def ram_bytes(self) -> int:
        """All memory that the caller must own."""
        return self.layout.arena_bytes + self.params_ram_bytes + self.persistent_bytes

    @property
    def peak_step(self) -> int:
        """The first step at which most bytes are alive; 0 for an empty timeline."""
        buffers = [placement.buffer for placement in self.layout.placements]
        alive = [
            sum(buffer.size_at(step) for buffer in live_at(buffers, step))
            for step in range(len(self.steps))
        ]
        return alive.index(max(alive)) if alive else 0

    def manifest(self) -> dict[str, object]:
        """The manifest's ``memory`` entry."""
        return {
            "arena_bytes": self.layout.arena_bytes,
            "lower_bound_bytes": self.layout.lower_bound_bytes,
            "params_ram_bytes": self.params_ram_bytes,
            "persistent_bytes": self.persistent_bytes,
            "ram_bytes": self.ram_bytes,
            "weights_flash_bytes": self.weights_flash_bytes,
            "timeline": [
                {
                    "name": placement.buffer.name,
                    "offset": placement.offset,
                    "size": size,
                    "first": first,
                    "last": last,
                }
                for placement in self.layout.placements
                for first, last, size in placement.buffer.spans
            ],
            "steps": list(self.steps),
        }


def check_budget(plan: MemoryPlan, budget: Budget) -> None:
    """Compares a plan with a board.

    Raises:
        BudgetError: By how much which memory is too small, and what takes most of it.
    """
    if plan.ram_bytes > budget.ram_bytes:
        peak = plan.peak_step
        alive = live_at([placement.buffer for placement in plan.layout.placements], peak)
        parts = f"{plan.layout.arena_bytes} arena"
        if plan.params_ram_bytes:
            parts += f" + {plan.params_ram_bytes} trained parameters, their base and int8 shadow"
        if plan.persistent_bytes:
            parts += f" + {plan.persistent_bytes} state"
        raise BudgetError(
            f"The model needs {plan.ram_bytes - budget.ram_bytes} bytes of RAM more than the board "
            f"has left: {plan.ram_bytes} ({parts}) of {budget.ram_bytes}",
            where=f"step {peak} ({plan.steps[peak]}), where these are alive: "
            + _largest(alive, peak)
            if plan.steps
            else "",
            hint="a smaller batch, a scheme that trains less, a smaller input, or a larger board",
        )
    if plan.weights_flash_bytes > budget.flash_bytes:
        raise BudgetError(
            f"The model needs {plan.weights_flash_bytes - budget.flash_bytes} bytes of flash more "
            f"than the board has left: {plan.weights_flash_bytes} of {budget.flash_bytes}",
            hint="a smaller model, or a larger board",
        )


def _largest(buffers: Sequence[Buffer], step: int) -> str:
    sizes = sorted((-buffer.size_at(step), buffer.name) for buffer in buffers)
    named = [f"{name} {-size}" for size, name in sizes[:_BLAMED]]
    rest = sizes[_BLAMED:]
    if rest:
        named.append(f"{len(rest)} more {-sum(size for size, _ in rest)}")
    return ", ".join(named)
