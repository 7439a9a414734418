# SPDX-License-Identifier: Apache-2.0
"""The C of one entry point while it is written, and the constants it needs."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Protocol

from fleetgrad_codegen.emit.constants import Constants
from fleetgrad_codegen.ir import Array, Op
from fleetgrad_codegen.plan.buffers import Layout, Region

_NOT_PLAIN = re.compile(r"[^ -~]|\?")
"""Control characters, whatever is not ASCII, and what trigraphs are made of."""


class Trained(Protocol):
    """Where a trained tensor lies; see `fleetgrad_codegen.program.Segment`."""

    @property
    def offset(self) -> int:
        """Bytes into the parameter vector."""

    @property
    def shadow_offset(self) -> int | None:
        """Bytes into the shadow; None for biases, which are read from the parameter vector."""


class Body:
    """Collects statements, and turns regions, tensors and arrays into C expressions.

    Args:
        layout: Offsets of all regions.
        constants: Takes tables, structs and includes; shared by all bodies of one file.
        values: Region of every tensor computed at run time.
        trained: Trained tensors by index; their values come from the caller's memory.
        variables: Offsets of variables in the persistent memory, by tensor index.
    """

    def __init__(
        self,
        layout: Layout,
        constants: Constants,
        values: Mapping[int, Region],
        trained: Mapping[int, Trained],
        variables: Mapping[int, int],
    ) -> None:
        self._offset: Callable[[str], int] = layout.offset
        self._constants = constants
        self._values = values
        self._trained = trained
        self._variables = variables
        self._lines: list[str] = []
        self._locals: list[str] = []
        self._suffix = ""
        self._moved: Mapping[str, str] = {}
        self._pages: Mapping[int, Region] = {}

    def part(self, suffix: str) -> "Body":
        """The same body for one of several parts of an operator: constants get a suffix."""
        made = copy(self)
        made._suffix = suffix
        return made

    def moved(self, names: Mapping[str, str]) -> "Body":
        """The same body for a step on other memory.

        Args:
            names: Of regions that take the place of others, by the others' names.
        """
        made = copy(self)
        made._moved = {**self._moved, **names}
        return made

    def is_paged(self, tensor: int) -> bool:
        """Whether a step finds these weights in the arena, where nobody does after it."""
        return tensor in self._pages

    def paged(self, pages: Mapping[int, Region]) -> "Body":
        """The same body for a step that finds trained weights, by tensor, in the arena."""
        made = copy(self)
        made._pages = {**self._pages, **pages}
        return made

    @property
    def lines(self) -> tuple[str, ...]:
        """The statements so far, without indentation."""
        return tuple(self._lines)

    def address(self, region: Region, ctype: str) -> str:
        """A pointer to a region of the arena, as ``ctype *``; say ``const`` in it."""
        name = self._moved.get(region.name, region.name)
        return f"ARENA({ctype}, {self._offset(name)}U)"

    def value(self, tensor: int, ctype: str) -> str:
        """A pointer to a tensor that is computed at run time."""
        return self.address(self._values[tensor], ctype)

    def is_in_place(self, op: Op) -> bool:
        """Whether an operator's output has the memory of one of its inputs."""
        made = self._values[op.outputs[0]].name
        return any(
            index in self._values and self._values[index].name == made for index in op.inputs
        )

    def variable(self, tensor: int, ctype: str) -> str:
        """A pointer to an operator's state, which keeps its value between runs."""
        return f"PERSISTENT({ctype}, {self._variables[tensor]}U)"

    def is_trained(self, tensor: int) -> bool:
        """Whether the tensor's values come from the caller's memory instead of a constant table."""
        return tensor in self._trained

    def trained(self, tensor: int) -> str:
        """A pointer to a trained tensor as the forward pass reads it.

        ``const int8_t *`` into the shadow for weights, ``const int32_t *`` into the parameter
        vector for biases.
        """
        segment = self._trained[tensor]
        if segment.shadow_offset is None:
            return f"PARAMS(const int32_t, {segment.offset}U)"
        if tensor in self._pages:
            return self.address(self._pages[tensor], "const int8_t")
        return f"SHADOW(const int8_t, {segment.shadow_offset}U)"

    def params(self, tensor: int, ctype: str) -> str:
        """A pointer to a trained tensor in the parameter vector, as ``ctype *``."""
        return f"PARAMS({ctype}, {self._trained[tensor].offset}U)"

    def shadow(self, tensor: int, ctype: str = "int8_t") -> str:
        """A pointer to the int8 shadow of trained weights, as ``ctype *``."""
        if tensor in self._pages:
            return self.address(self._pages[tensor], ctype)
        return f"SHADOW({ctype}, {self._trained[tensor].shadow_offset}U)"

    def table(self, name: str, array: Array) -> str:
        """The name of a ``static const`` array of these values; equal arrays are stored once.

        Args:
            name: Tried first; C identifier.
            array: int8, uint8, int16, uint16, int32 or uint32 of any shape; stored flat.
        """
        return self._constants.table(name + self._suffix, array)

    def struct(self, ctype: str, name: str, fields: Mapping[str, str | int]) -> str:
        """The address of a ``static const`` struct; fields are C expressions or integers."""
        return self._constants.struct(ctype, name + self._suffix, fields)

    def structs(self, ctype: str, name: str, rows: Sequence[Mapping[str, str | int]]) -> str:
        """The name of a ``static const`` array of structs."""
        return self._constants.structs(ctype, name + self._suffix, rows)

    def include(self, header: str) -> None:
        """Includes a public header, such as ``fleetgrad/fg_kernels.h``."""
        self._constants.include(header)

    def comment(self, text: str) -> None:
        """One line of comment; what could end it, or upset a compiler, is replaced."""
        plain = _NOT_PLAIN.sub("_", text).replace("*/", "* /").replace("/*", "/ *")
        self._lines.append(f"/* {plain} */")

    def call(self, function: str, *arguments: str | int) -> None:
        """A call of a function that cannot fail."""
        self._lines.append(f"{function}({', '.join(str(argument) for argument in arguments)});")

    def line(self, text: str) -> None:
        """Any other statement."""
        self._lines.append(text)

    def local(self, ctype: str, name: str, value: str) -> str:
        """Declares a variable within a `scope`; returns its name."""
        self._locals.append(name + self._suffix)
        self._lines.append(f"{ctype} {name}{self._suffix} = {value};")
        return name + self._suffix

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Braces around what is written inside, where that declares variables."""
        start, known = len(self._lines), len(self._locals)
        yield
        if len(self._locals) > known:
            inside = [f"    {line}" for line in self._lines[start:]]
            self._lines[start:] = ["{", *inside, "}"]
