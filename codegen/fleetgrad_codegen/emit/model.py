# SPDX-License-Identifier: Apache-2.0
"""``model.c`` and ``model.h`` from a planned program."""

from collections.abc import Iterable

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.emit.constants import Constants
from fleetgrad_codegen.emit.writer import Writer
from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.persistent import counters_offset, persistent_bytes
from fleetgrad_codegen.plan import Layout
from fleetgrad_codegen.program import Entry, Loss, Program, SegmentKind, Training

ABI = 3
"""Mirrors ``FG_MODEL_ABI``; generated code refuses to compile with another."""

DIGEST_BYTES = 8

_LICENSE = "/* SPDX-License-Identifier: Apache-2.0 */"
_PARAMETERS = {
    Entry.RESET: "const fg_model_state *state",
    Entry.FORWARD: "const fg_model_state *state",
    Entry.EVALUATE: "const fg_model_state *state, const fg_target *target, fg_metrics *metrics",
    Entry.ACCUMULATE: "const fg_model_state *state, const fg_target *target, uint32_t row, "
    "fg_metrics *metrics",
    Entry.APPLY: "const fg_model_state *state, uint32_t rows, const fg_step *step",
    Entry.REFRESH: "const fg_model_state *state",
}


class ModelSource:
    """The C of one program.

    Args:
        program: The timeline.
        layout: Offsets of all its regions.
    """

    def __init__(self, program: Program, layout: Layout) -> None:
        self._program = program
        self._layout = layout
        # Of an adapter the first factor stands for the tensor: it has the merged weights' shadow.
        self._trained = {
            segment.tensor: segment
            for segment in program.segments
            if segment.kind is not SegmentKind.UP
        }
        self._constants = Constants()
        self._bodies = {entry: self._body(entry) for entry in Entry}
        self._initial = np.frombuffer(initial_params(program), np.uint8)

    @property
    def flash_bytes(self) -> int:
        """Constant tables, the initial parameters included."""
        return self._constants.table_bytes + int(self._initial.nbytes)

    def header(self) -> str:
        """``model.h``."""
        out = Writer()
        out.line(_LICENSE)
        out.line("#ifndef FG_GENERATED_MODEL_H")
        out.line("#define FG_GENERATED_MODEL_H")
        out.blank()
        out.line('#include "fleetgrad/fg_model.h"')
        out.blank()
        out.line(f"#if FG_MODEL_ABI != {ABI}U")
        out.line('#error "generated for another version of the runtime: generate again"')
        out.line("#endif")
        out.blank()
        for name, value in self._sizes():
            out.line(f"#define FG_MODEL_{name} {value}U")
        out.blank()
        out.line("extern const fg_model fg_generated_model;")
        out.blank()
        out.line("#endif")
        return out.text

    def source(self, digest: bytes) -> str:
        """``model.c``.

        Args:
            digest: 8 bytes; zeros where the text goes into the digest itself.
        """
        out = Writer()
        out.line(_LICENSE)
        out.line("/* Generated; edits are lost. */")
        out.line('#include "model.h"')
        out.blank()
        out.line("#include <stddef.h>")
        if self._program.variables or self._program.ranges:
            out.line("#include <string.h>")
        out.blank()
        for header in self._constants.headers:
            out.line(f'#include "{header}"')
        out.blank()
        self._emit_assertions(out)
        self._emit_macros(out)
        out.line(self._constants.text.rstrip())
        out.blank()
        for entry in Entry:
            self._emit_entry(out, entry)
        self._emit_descriptor(out, digest)
        return out.text

    def _body(self, entry: Entry) -> Body:
        program = self._program
        ranges = len(program.ranges)
        offsets = {variable.tensor: variable.offset for variable in program.variables}
        body = Body(self._layout, self._constants, program.values, self._trained, offsets)
        if entry is Entry.RESET:
            for variable in program.variables:
                target = body.variable(variable.tensor, "uint8_t")
                body.call("memset", target, variable.fill, f"{variable.nbytes}U")
        for step in program.steps:
            if entry in step.entries:
                step.emit(body)
        if entry is Entry.REFRESH and ranges:
            body.call("memset", "&CLIPPED(0)", 0, f"{4 * ranges}U")
        return body

    @property
    def _clipped_offset(self) -> int:
        program = self._program
        return counters_offset(program.variables) if program.ranges else 0

    @property
    def _persistent_bytes(self) -> int:
        return persistent_bytes(self._program.variables, len(self._program.ranges))

    def _sizes(self) -> list[tuple[str, int]]:
        graph = self._program.graph
        training = self._program.training
        return [
            ("ARENA_BYTES", self._layout.arena_bytes),
            ("PARAM_BYTES", param_bytes(self._program)),
            ("SHADOW_BYTES", shadow_bytes(self._program)),
            ("PERSISTENT_BYTES", self._persistent_bytes),
            ("INPUT_BYTES", graph.tensors[graph.inputs[0]].nbytes),
            ("OUTPUT_BYTES", graph.tensors[graph.outputs[0]].nbytes),
            ("BATCH", 0 if training is None else training.batch),
        ]

    def _emit_assertions(self, out: Writer) -> None:
        graph, values = self._program.graph, self._program.values
        for name, (tensor,) in (("INPUT", graph.inputs), ("OUTPUT", graph.outputs)):
            offset = self._layout.offset(values[tensor].name)
            out.line(
                f"_Static_assert({offset}U + FG_MODEL_{name}_BYTES <= FG_MODEL_ARENA_BYTES,\n"
                f'               "the {name.lower()} lies in the arena");'
            )
        align = max((p.buffer.align for p in self._layout.placements), default=1)
        out.line(f'_Static_assert(FG_ALIGNMENT % {align}U == 0U, "the arena is aligned");')
        out.blank()

    def _emit_macros(self, out: Writer) -> None:
        text = self._constants.text + "".join(
            line for body in self._bodies.values() for line in body.lines
        )
        if self._program.ranges:
            exponents = param_bytes(self._program) - len(self._program.ranges)
            counters = self._clipped_offset
            out.line(
                "#define RANGE(place) "
                f"((int32_t) * (const int8_t *)(state->params + {exponents}U + (place)))"
            )
            out.line(
                "#define CLIPPED(place) "
                f"(((uint32_t *)(void *)(state->persistent + {counters}U))[place])"
            )
        for member in ("arena", "params", "shadow", "persistent"):
            name = member.upper()
            if f"{name}(" in text:
                out.line(
                    f"#define {name}(type, offset) ((type *)(void *)(state->{member} + (offset)))"
                )
        out.blank()

    def _emit_entry(self, out: Writer, entry: Entry) -> None:
        with out.block(f"static fg_status {entry.value}({_PARAMETERS[entry]})"):
            for line in self._entry_lines(entry):
                out.line(line)
        out.blank()

    def _entry_lines(self, entry: Entry) -> Iterable[str]:
        training = self._program.training
        lines = self._bodies[entry].lines
        if training is None and entry not in {Entry.RESET, Entry.FORWARD, Entry.REFRESH}:
            return (*_ignored(entry), "return FG_ERR_UNSUPPORTED;")
        if all(line.startswith("/*") for line in lines):
            return (*_ignored(entry), *lines, "return FG_OK;")
        if training is None:
            return (*lines, "return FG_OK;")
        checks = _checks(entry, training, bool(self._program.variables))
        return (*checks, *lines, "return FG_OK;")

    def _emit_descriptor(self, out: Writer, digest: bytes) -> None:
        program = self._program
        training = program.training
        if program.segments:
            with out.block("static const fg_segment segments[] =", end="};"):
                for segment in program.segments:
                    out.line(f"{{{segment.kind.device}, {segment.offset}U, {segment.count}U}},")
            out.blank()
            out.array("static const uint8_t", "initial_params", self._initial.tolist())
            out.line(
                "_Static_assert(sizeof initial_params == FG_MODEL_PARAM_BYTES,\n"
                '               "segments and exponents fill the parameter vector");'
            )
            out.blank()
        if program.ranges:
            counts = [found.values for found in program.ranges]
            out.array("static const uint32_t", "range_values", counts)
        graph = program.graph
        loss = Loss.NONE if training is None else training.loss
        with out.block("const fg_model fg_generated_model =", end="};"):
            out.line(".abi = FG_MODEL_ABI,")
            out.line(f".digest = {{{', '.join(f'0x{byte:02x}' for byte in digest)}}},")
            for name in ("arena", "param", "shadow", "persistent"):
                out.line(f".{name}_bytes = FG_MODEL_{name.upper()}_BYTES,")
            for name, (tensor,) in (("input", graph.inputs), ("output", graph.outputs)):
                offset = self._layout.offset(program.values[tensor].name)
                out.line(f".{name}_offset = {offset}U,")
                out.line(f".{name}_bytes = FG_MODEL_{name.upper()}_BYTES,")
            out.line(f".target_bytes = {0 if training is None else training.target_bytes}U,")
            out.line(".batch = FG_MODEL_BATCH,")
            out.line(f".loss = FG_LOSS_{loss.value.upper()},")
            out.line(f".segment_count = {len(program.segments)}U,")
            out.line(f".segments = {'segments' if program.segments else 'NULL'},")
            out.line(f".initial_params = {'initial_params' if program.segments else 'NULL'},")
            out.line(f".range_count = {len(program.ranges)}U,")
            out.line(f".range_values = {'range_values' if program.ranges else 'NULL'},")
            out.line(f".clipped_offset = {self._clipped_offset}U,")
            for entry in Entry:
                out.line(f".{entry.value} = {entry.value},")


def initial_params(program: Program) -> bytes:
    """The parameter vector as exported, little-endian.

    Raises:
        ValueError: A segment is out of place.
    """
    vector = b""
    for segment in program.segments:
        if segment.offset != len(vector):
            raise ValueError(f"segment {segment.name} does not follow the one before")
        vector += _little_endian(segment.initial)
    return vector + bytes(len(program.ranges))


def param_bytes(program: Program) -> int:
    """Size of the parameter vector: segments, then one exponent for each range."""
    return sum(segment.nbytes for segment in program.segments) + len(program.ranges)


def shadow_bytes(program: Program) -> int:
    """Size of the int8 shadow of all trained weights; 0 where it is made in the arena."""
    if program.paged:
        return 0
    return sum(segment.shadow_bytes for segment in program.segments)


def _little_endian(values: Array) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _ignored(entry: Entry) -> Iterable[str]:
    """Tells the compiler that the parameters are not needed."""
    for parameter in _PARAMETERS[entry].split(", "):
        yield f"(void){parameter.split()[-1].lstrip('*')};"


def _checks(entry: Entry, training: Training, has_state: bool) -> Iterable[str]:
    conditions = []
    if entry is Entry.ACCUMULATE:
        conditions.append(f"row >= {training.batch}U")
    if entry is Entry.APPLY:
        conditions.append(f"rows == 0U || rows > {training.batch}U")
    if entry in {Entry.EVALUATE, Entry.ACCUMULATE} and training.classes:
        conditions.append(f"target->label >= {training.classes}U")
    for condition in conditions:
        yield f"if ({condition}) {{"
        yield "    return FG_ERR_ARGUMENT;"
        yield "}"
    if entry in {Entry.EVALUATE, Entry.ACCUMULATE}:
        if has_state:  # samples are visited in any order: none may see what came before it
            yield "fg_status status = reset(state);"
            yield "if (status == FG_OK) {"
            yield "    status = forward(state);"
            yield "}"
        else:
            yield "const fg_status status = forward(state);"
        yield "if (status != FG_OK) {"
        yield "    return status;"
        yield "}"
