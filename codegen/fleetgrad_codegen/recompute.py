# SPDX-License-Identifier: Apache-2.0
"""Computes cheap activations again on the way back, instead of keeping them since the forward pass.

The same step runs once more just before its result is needed: the same kernel on the same input
with weights that have not changed yet, hence the same bytes. Activations are chosen one by one, the
cheapest byte first among those that are alive at the peak, for as long as the peak falls.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fleetgrad_codegen.cost import buffers_of
from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.forward import step_name
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.plan import Buffer, Region, live_at, lower_bound
from fleetgrad_codegen.program import Entry, Program, Step

MOST_MACS_PER_BYTE = 64
"""Activations that cost more are kept: beyond depthwise and narrow pointwise convolutions."""

_AGAIN = " again"


@dataclass(frozen=True, slots=True)
class MovedStep(Step):
    """A step on memory other than it was made for.

    Attributes:
        step: What it does.
        label: Its own name, or that of a second run.
        runs_in: The entry points that run it.
        moved: New names of regions, by name.
    """

    step: Step
    label: str
    runs_in: frozenset[Entry]
    moved: Mapping[str, str]

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return self.label

    @property
    def entries(self) -> frozenset[Entry]:
        """See `Step.entries`."""
        return self.runs_in

    @property
    def regions(self) -> tuple[Region, ...]:
        """See `Step.regions`."""
        return tuple(replace(r, name=self.moved.get(r.name, r.name)) for r in self.step.regions)

    @property
    def shadows(self) -> tuple[int, ...]:
        """See `Step.shadows`."""
        return self.step.shadows

    def emit(self, body: Body) -> None:
        """See `Step.emit`."""
        self.step.emit(body.moved(self.moved))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An activation that could be computed again.

    Attributes:
        tensor: Which.
        position: Of its operator in the graph.
        name: Of its memory.
        forward: Last step of the forward pass that touches it.
        backward: First step after the forward pass that touches it.
        macs: Multiply-accumulates.
        nbytes: Size.
    """

    tensor: int
    position: int
    name: str
    forward: int
    backward: int
    macs: int
    nbytes: int


def recompute(program: Program) -> Program:
    """The program with the lowest peak that computing activations again leads to.

    Args:
        program: As from `build_program`.

    Returns:
        The same one where nothing can be gained.
    """
    candidates = {found.name: found for found in _candidates(program)}
    chosen: list[_Candidate] = []
    best, least = program, lower_bound(buffers_of(program))
    trial = program
    while True:
        buffers = buffers_of(trial)
        peak = _peak(buffers, len(trial.steps))
        alive = {buffer.name for buffer in live_at(buffers, peak)}
        touched = {region.name for region in trial.steps[peak].regions}
        gaps = [candidates[name] for name in alive - touched if name in candidates]
        if not gaps:
            return best
        pick = min(gaps, key=lambda c: (c.macs / c.nbytes, -c.nbytes, c.tensor))
        del candidates[pick.name]
        chosen.append(pick)
        trial = _with(program, chosen)
        bound = lower_bound(buffers_of(trial))
        if bound < least:
            best, least = trial, bound


def recompute_macs(program: Program) -> int:
    """Multiply-accumulates that computing activations again costs, per sample."""
    graph = program.graph
    producers = {op.outputs[0]: op for op in graph.ops}
    ops = (producers[tensor] for tensor in program.recomputed)
    return sum(REGISTRY[op.kind].macs(graph, op) for op in ops)


def _candidates(program: Program) -> Iterator[_Candidate]:
    """Activations that an operator makes from what is, or can be, still there.

    Neither they nor their operator's inputs may share memory: that would have changed.
    """
    graph, values = program.graph, program.values
    sharing: dict[str, int] = {}
    for region in values.values():
        sharing[region.name] = sharing.get(region.name, 0) + 1
    for position, op in enumerate(graph.ops):
        tensor = op.outputs[0]
        read = [values[index].name for index in op.inputs if index in values]
        region = values[tensor]
        macs = REGISTRY[op.kind].macs(graph, op)
        if (
            REGISTRY[op.kind].state
            or tensor in graph.outputs
            or macs > MOST_MACS_PER_BYTE * region.nbytes
            or any(sharing[name] > 1 for name in (region.name, *read))
        ):
            continue
        touching = [
            step
            for step, one in enumerate(program.steps)
            if region.name in {touched.name for touched in one.regions}
        ]
        after = [step for step in touching if step >= program.forward_steps]
        if after:
            forward = max(step for step in touching if step < program.forward_steps)
            yield _Candidate(tensor, position, region.name, forward, after[0], macs, region.nbytes)


def _with(program: Program, chosen: Sequence[_Candidate]) -> Program:
    """The program where these are computed again."""
    again = {one.name: one.name + _AGAIN for one in chosen}
    steps: list[Step] = []
    for place, step in enumerate(program.steps):
        due = (one for one in chosen if one.backward == place)
        steps += [_second_run(program, one, step.entries) for one in due]
        touched = {region.name for region in step.regions}
        moved = {name: new for name, new in again.items() if name in touched}
        late = place >= program.forward_steps and moved
        steps.append(MovedStep(step, step.name, step.entries, moved) if late else step)
    tensors = tuple(sorted(one.tensor for one in chosen))
    return replace(program, steps=tuple(steps), recomputed=tensors)


def _second_run(program: Program, one: _Candidate, entries: frozenset[Entry]) -> Step:
    """The operator's step with memory of its own for all but its inputs."""
    op = program.graph.ops[one.position]
    read = {program.values[index].name for index in op.inputs if index in program.values}
    name = step_name(program.graph, one.position)
    step = next(step for step in program.steps if step.name == name).alone()
    moved = {r.name: r.name + _AGAIN for r in step.regions if r.name not in read}
    return MovedStep(step, step.name + _AGAIN, entries, moved)


def _peak(buffers: Sequence[Buffer], steps: int) -> int:
    """The first step at which most bytes are alive."""
    alive = [sum(b.size_at(step) for b in live_at(buffers, step)) for step in range(steps)]
    return alive.index(max(alive))
