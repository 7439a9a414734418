# SPDX-License-Identifier: Apache-2.0
"""Reading a board's TOML key by key, so that every mistake can be named."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from fleetgrad.errors import BoardError

_T = TypeVar("_T", str, int)


class TomlTable:
    """A TOML table that is emptied key by key; what is left in the end is misspelt.

    Args:
        path: The file, for messages.
        name: Of the table, with dots; empty for the whole file.
        values: What tomllib made of it.
    """

    def __init__(self, path: Path, name: str, values: dict[str, Any]) -> None:
        self._path = path
        self._name = name
        self._values = dict(values)
        self._known: list[str] = []

    def key(self, key: str) -> str:
        """A key with the names of the tables that it is in."""
        return f"{self._name}.{key}" if self._name else key

    def fail(self, key: str, what: str, expected: str) -> BoardError:
        """What is wrong with a key, to be raised."""
        return BoardError(what, where=f"{self._path}, {self.key(key)}", expected=expected)

    def take(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """A value of one type; without a default it must be there."""
        self._known.append(key)
        value = self._values.pop(key, default)
        if value is None:
            raise self._missing(key, "a string" if kind is str else "an integer")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.fail(key, f"{value!r} has the wrong type", f"a {kind.__name__}")
        return value

    def size(self, key: str, default: int | None = None) -> int:
        """An address or a number of bytes, below 2^32."""
        value = self.take(key, int, default)
        if not 0 <= value < 2**32:
            raise self.fail(key, f"{value} is out of range", "0 to 2^32-1")
        return value

    def words(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings."""
        self._known.append(key)
        if default is not None and key not in self._values:
            return default
        value = self._values.pop(key, None)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.fail(key, "missing or of the wrong type", "a list of strings")
        return tuple(value)

    def pairs(self) -> dict[str, tuple[float, float]]:
        """All keys of a table whose values are two numbers, 0 or more, each."""
        made = {}
        for key in tuple(self._values):
            value = self._values.pop(key)
            right = isinstance(value, list) and len(value) == 2
            if not right or not all(type(n) in {int, float} and 0 <= n < 1e6 for n in value):
                raise self.fail(key, f"{value!r} has the wrong type", "two numbers, 0 or more")
            made[key] = (float(value[0]), float(value[1]))
        return made

    def table(self, key: str, *, optional: bool = False) -> "TomlTable | None":
        """A table inside; None only where it is optional."""
        self._known.append(key)
        value = self._values.pop(key, None)
        if value is None and optional:
            return None
        if not isinstance(value, dict):
            raise self._missing(key, f"a table [{self.key(key)}]")
        return TomlTable(self._path, self.key(key), value)

    def tables(self, key: str) -> "list[TomlTable]":
        """The tables of an array, which may be missing."""
        self._known.append(key)
        value = self._values.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.fail(key, "not a list of tables", f"[[{self.key(key)}]]")
        return [TomlTable(self._path, self.key(key), one) for one in value]

    def done(self) -> None:
        """Complains of the first key that nobody has taken."""
        for key in self._values:
            near = difflib.get_close_matches(key, self._known, n=1, cutoff=0.5)
            raise BoardError(
                f"unknown key {key!r}",
                where=f"{self._path}, {self.key(key)}",
                expected=f"one of {', '.join(sorted(self._known))}",
                hint=f"did you mean {near[0]}?" if near else "",
            )

    def _missing(self, key: str, expected: str) -> BoardError:
        near = difflib.get_close_matches(key, self._values, n=1, cutoff=0.5)
        return BoardError(
            f"the key {key!r} is missing",
            where=f"{self._path}, {self.key(key)}",
            expected=expected,
            hint=f"is {near[0]!r} a misspelling of it?" if near else "",
        )
