# SPDX-License-Identifier: Apache-2.0
"""What choices cost, as sums that a search can bound.

RAM is parameters plus what is alive at the worst step of the timeline. What a layer's weights add
to each step hardly depends on what else trains, so a few dozen timelines tell the cost of all
choices, to within a few hundredths: an operator that works in place may cease to, and a tensor that
two layers read is counted twice. The sums decide where to look; what the search ends with is
planned for good.
"""

from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.bundle import plan_program
from fleetgrad_codegen.cost import buffers_of, estimate
from fleetgrad_codegen.plan import Budget, MemoryPlan
from fleetgrad_codegen.search.instructions import Rates, instructions, work_of
from fleetgrad_codegen.search.space import Choice, Space
from fleetgrad_codegen.training.fixed_point import Ints


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scheme may take.

    Attributes:
        ram_bytes: Arena, parameters, their base and shadow, state.
        flash_bytes: Constants and initial parameters.
        instructions: Of one training step; None for no limit.
    """

    ram_bytes: int
    flash_bytes: int
    instructions: int | None = None

    @property
    def budget(self) -> Budget:
        """The memory alone."""
        return Budget(flash_bytes=self.flash_bytes, ram_bytes=self.ram_bytes)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one choice.

    Attributes:
        ram_bytes: As `Limits`.
        flash_bytes: As `Limits`.
        instructions: As `Limits`; an estimate.
    """

    ram_bytes: int
    flash_bytes: int
    instructions: int

    @property
    def order(self) -> tuple[int, int, int]:
        """What decides between equals: RAM, then time, then flash."""
        return self.ram_bytes, self.instructions, self.flash_bytes

    def fits(self, limits: Limits) -> bool:
        """Whether it keeps to all limits."""
        return (
            self.ram_bytes <= limits.ram_bytes
            and self.flash_bytes <= limits.flash_bytes
            and (limits.instructions is None or self.instructions <= limits.instructions)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """What something adds to the use of every resource.

    Attributes:
        values: int64; the bytes at each step of the longest timeline, parameters included, then
            flash, then instructions.
    """

    values: Ints

    @property
    def cost(self) -> Cost:
        """The worst step."""
        return Cost(
            ram_bytes=int(self.values[:-2].max(initial=0)),
            flash_bytes=int(self.values[-2]),
            instructions=int(self.values[-1]),
        )


class CostModel:
    """Costs of all choices of a space.

    Args:
        space: What to choose from.
        rates: Of the board's kernels.
    """

    def __init__(self, space: Space, rates: Rates) -> None:
        self._space = space
        self._rates = rates
        count = len(space.layers)
        longest = space.program(space.biases(count))
        self._steps = tuple(step.name for step in longest.steps)
        biases = {k: self._load(space.biases(k)) for k in range(1, count + 1)}
        self._base = {k: self._as_planned(space.biases(k), biases[k]) for k in biases}
        self._added: dict[tuple[int, float, bool], Ints] = {}
        for place, layer in enumerate(space.layers):
            if layer.always:
                continue
            for ratio in layer.ratios:
                for first, layers in ((True, count - place), (False, count)):
                    choice = space.biases(layers).with_ratio(layer.op, ratio)
                    self._added[layer.op, ratio, first] = self._load(choice) - biases[layers]

    def base(self, layers: int) -> Load:
        """Biases of the last layers."""
        return Load(self._base[layers])

    def added(self, op: int, ratio: float, *, first: bool) -> Load:
        """What training a share of a layer's weights adds to that.

        Args:
            op: The layer.
            ratio: Share of its channels.
            first: Whether it is the first layer that trains: nobody then needs its input's errors,
                nor where that was clamped.
        """
        return Load(self._added[op, ratio, first])

    def cost(self, choice: Choice) -> Cost:
        """The sum."""
        total = self._base[choice.layers].copy()
        for place, (op, ratio) in enumerate(choice.ratios):
            if (op, ratio, place == 0) in self._added:
                total += self._added[op, ratio, place == 0]
        return Load(total).cost

    def _as_planned(self, choice: Choice, load: Ints) -> Ints:
        """With RAM and flash as they are, which `estimate` only nearly knows."""
        plan, _ = plan_program(self._space.deployed(choice))
        load = load.copy()
        load[:-2] += plan.ram_bytes - int(load[:-2].max(initial=0))
        load[-2] = plan.weights_flash_bytes
        return load

    def _load(self, choice: Choice) -> Ints:
        program = self._space.program(choice)
        found = estimate(program)
        names = [step.name for step in program.steps]
        buffers = [buffer for buffer in buffers_of(program) if buffer.size]
        unit = min((buffer.align for buffer in buffers), default=1)
        alive = dict.fromkeys(self._steps, 0)
        for buffer in buffers:
            for name in names[buffer.first : buffer.last + 1]:
                if name in alive:  # a refresh alone, which touches nothing, may not be there
                    alive[name] += buffer.size + -buffer.size % unit
        parameters = found.ram_bytes - found.arena_bytes
        return np.array(
            [
                *(nbytes + parameters for nbytes in alive.values()),
                found.flash_bytes,
                instructions(work_of(program), self._rates),
            ],
            np.int64,
        )


def planned_cost(space: Space, choice: Choice, rates: Rates) -> tuple[Cost, MemoryPlan]:
    """What a choice really costs, its memory placed."""
    made = space.deployed(choice)
    plan, _ = plan_program(made)
    step = instructions(work_of(made), rates)
    return Cost(plan.ram_bytes, plan.weights_flash_bytes, step), plan
