# SPDX-License-Identifier: Apache-2.0
"""What a program would cost, without placing it or writing its code.

A search over schemes asks this thousands of times. The arena is the lower bound, which `place`
reaches to within a few hundredths; everything else is exact but flash.
"""

from dataclasses import dataclass

from fleetgrad_codegen.emit.model import param_bytes, shadow_bytes
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.persistent import persistent_bytes
from fleetgrad_codegen.plan import Buffer, lifetimes, lower_bound
from fleetgrad_codegen.program import Program, SegmentKind

_SCALE_BYTES = 5
"""Of an output channel: multiplier and shift."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one program; bytes and multiply-accumulates.

    Attributes:
        arena_bytes: Lower bound of the arena.
        param_bytes: The parameter vector.
        shadow_bytes: Trained weights as int8.
        persistent_bytes: Operators' state.
        flash_bytes: Constants and initial parameters, about.
        forward_macs: Of one sample.
        backward_macs: Of one sample, the update included.
    """

    arena_bytes: int
    param_bytes: int
    shadow_bytes: int
    persistent_bytes: int
    flash_bytes: int
    forward_macs: int
    backward_macs: int

    @property
    def ram_bytes(self) -> int:
        """Arena, parameters, their base and shadow, state."""
        return self.arena_bytes + 2 * self.param_bytes + self.shadow_bytes + self.persistent_bytes


def estimate(program: Program) -> Cost:
    """What the program costs, in milliseconds instead of seconds."""
    graph, training = program.graph, program.training
    trained = {
        segment.tensor: segment.count
        for segment in program.segments
        if segment.kind in {SegmentKind.BIAS, SegmentKind.WEIGHT}
    }
    constants = 0
    for op in graph.ops:
        for index in op.inputs:
            data = None if index < 0 else graph.tensors[index].data
            if data is not None:
                constants += data.nbytes - data.itemsize * trained.get(index, 0)
        if REGISTRY[op.kind].macs(graph, op):
            constants += _SCALE_BYTES * graph.tensors[op.outputs[0]].shape[-1]
    parameters = param_bytes(program)
    return Cost(
        arena_bytes=lower_bound(buffers_of(program)),
        param_bytes=parameters,
        shadow_bytes=shadow_bytes(program),
        persistent_bytes=persistent_bytes(program.variables),
        flash_bytes=constants + parameters,
        forward_macs=forward_macs(program),
        backward_macs=0 if training is None else training.backward_macs,
    )


def forward_macs(program: Program) -> int:
    """Multiply-accumulates of one forward pass."""
    graph = program.graph
    return sum(REGISTRY[op.kind].macs(graph, op) for op in graph.ops)


def buffers_of(program: Program) -> tuple[Buffer, ...]:
    """The arena memory that the program's steps touch, with its lifetimes."""
    graph = program.graph
    return lifetimes(
        [step.regions for step in program.steps],
        inputs={program.values[index].name for index in graph.inputs},
        outputs={program.values[index].name for index in graph.outputs},
        forward_steps=program.forward_steps,
    )
