# SPDX-License-Identifier: Apache-2.0
"""Makes the int8 weights of a trained layer from its masters just before they are needed.

The shadow of all trained weights is then no memory of its own: each layer's lies in the arena while
the layer is computed, and again while errors pass it and it learns. That costs a pass over the
masters each time, about one instruction per product of a fully connected layer, and next to nothing
per product of a convolution. The shadow is a function of the masters, so nothing else changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleetgrad_codegen.cost import estimate
from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.forward import short_name
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.program import Entry, Program, Step


@dataclass(frozen=True, slots=True)
class PageStep(Step):
    """Makes a layer's int8 weights.

    Attributes:
        tensor: The weights.
        refresh: What makes them in the shadow.
        label: What memory maps call it.
        runs_in: The entry points that run it.
        page: Where the result goes.
    """

    tensor: int
    refresh: Step
    label: str
    runs_in: frozenset[Entry]
    page: Region

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
        """The page."""
        return (self.page,)

    def emit(self, body: Body) -> None:
        """Writes the call."""
        self.refresh.emit(body.paged({self.tensor: self.page}))


@dataclass(frozen=True, slots=True)
class PagedStep(Step):
    """A step that finds trained weights in the arena.

    Attributes:
        step: What it does.
        pages: Where they are, by tensor.
    """

    step: Step
    pages: Mapping[int, Region]

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return self.step.name

    @property
    def entries(self) -> frozenset[Entry]:
        """See `Step.entries`."""
        return self.step.entries

    @property
    def regions(self) -> tuple[Region, ...]:
        """The step's own, and the pages."""
        return (*self.step.regions, *self.pages.values())

    def emit(self, body: Body) -> None:
        """See `Step.emit`."""
        self.step.emit(body.paged(self.pages))


def page_shadow(program: Program) -> Program:
    """The program without a shadow, if that takes less RAM; else the same one."""
    counts = {s.tensor: s.shadow_bytes for s in program.segments if s.shadow_offset is not None}
    refreshes = {
        tensor: step
        for step in program.steps
        if Entry.REFRESH in step.entries
        for tensor in step.shadows
    }
    steps: list[Step] = []
    there: set[str] = set()
    for step in program.steps:
        used = [tensor for tensor in step.shadows if tensor in counts]
        if used and Entry.REFRESH in step.entries:
            continue
        late = "" if Entry.FORWARD in step.entries else " again"
        pages = {
            tensor: Region(f"shadow of tensor {tensor}{late}", counts[tensor]) for tensor in used
        }
        for tensor, page in pages.items():
            if page.name not in there:
                label = f"int8 {short_name(program.graph, tensor)}{late}"
                made = PageStep(tensor, refreshes[tensor], label, step.entries, page)
                steps.append(made)
        there |= {page.name for page in pages.values()}
        steps.append(PagedStep(step, pages) if pages else step)
    paged = replace(program, steps=tuple(steps), paged=True)
    return paged if estimate(paged).ram_bytes < estimate(program).ram_bytes else program
