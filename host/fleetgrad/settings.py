# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses from TOML tables and ``section.key=value`` texts; errors name the key.

Knows nothing of any one key. A field's type is its annotation; ``metadata["check"]`` narrows it.
"""

import dataclasses
import difflib
import math
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fleetgrad.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included."""

    low: float
    high: float

    def __call__(self, value: Any) -> str:
        """What was expected when ``value`` is outside, else empty."""
        return "" if self.low <= value <= self.high else f"{_tidy(self.low)} to {_tidy(self.high)}"


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]

    def __call__(self, value: Any) -> str:
        """What was expected when ``value`` is none of them, else empty."""
        return "" if value in self.options else "one of " + ", ".join(self.options)


@dataclass(frozen=True)
class FileName:
    """A text that may become the name of a file or folder."""

    def __call__(self, value: Any) -> str:
        """What was expected when ``value`` is a path, else empty."""
        bad = "/" in value or "\0" in value or value in (".", "..")
        return "a name without a slash" if bad else ""


@dataclass(frozen=True)
class TopicLevel:
    """A text that may be one level of an MQTT topic."""

    def __call__(self, value: Any) -> str:
        """What was expected when ``value`` cannot be one, else empty."""
        good = 0 < len(value.encode()) <= 64 and not set(value) & set("/+#\0")
        return "" if good else "1 to 64 bytes without / + #"


@dataclass(frozen=True)
class NonEmpty:
    """A path that must be given."""

    kind: str

    def __call__(self, value: Any) -> str:
        """What was expected when there is no path, else empty."""
        return "" if value != Path() else self.kind


def build(
    root: type[T], tables: dict[str, Any], overrides: Sequence[str], *, base: Path, source: str
) -> T:
    """Makes ``root``, a dataclass whose fields are dataclasses, from tables and overrides.

    Args:
        root: The dataclass.
        tables: Section name to key to value, as tomllib gives them.
        overrides: ``section.key=value``; the value is TOML, or plain text where that is no TOML.
        base: Relative paths are relative to this folder.
        source: What to call the tables in errors.

    Raises:
        ConfigError: When a section or key is unknown, or a value is mistyped or out of range.
    """
    sections = typing.get_type_hints(root)
    merged: dict[str, dict[str, tuple[Any, str]]] = {name: {} for name in sections}
    for name, table in tables.items():
        _known(name, sections, f"{source}: [{name}]", "section")
        if not isinstance(table, dict):
            raise ConfigError(
                f"{name} is a section, not a value", where=source, expected=f"[{name}]"
            )
        keys = typing.get_type_hints(sections[name])
        for key in table:  # misspelt keys first: they are why others are missing
            if not _rest(sections[name]):
                _known(key, keys, f"{source}: {name}.{key}", "key", prefix=f"{name}.")
        merged[name] = {key: (value, source) for key, value in table.items()}
    for text in overrides:
        name, key, value = _override(text, sections)
        merged[name][key] = (value, f"--set {text}")
    built = {
        name: _section(section, name, merged[name], base=base, source=source)
        for name, section in sections.items()
    }
    return root(**built)


def options_of(kind: type[T], options: Mapping[str, Any], what: str, where: str) -> T:
    """Makes ``kind``, a dataclass whose fields are options, from those that are given.

    Args:
        kind: The dataclass; fields are as in a section.
        options: By name.
        what: What has the options, for errors.
        where: What to call the options in errors.

    Raises:
        ConfigError: An option is unknown, mistyped or out of range.
    """
    keys = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in options:
        if not keys:
            raise ConfigError(f"the {what} has no options", where=f"{where}.{key}")
        _known(key, keys, f"{where}.{key}", f"option of the {what}:", prefix=f"{where}.")
    given = {key: (value, where) for key, value in options.items()}
    return _section(kind, where, given, base=Path(), source=what)


def to_dict(root: Any) -> dict[str, dict[str, Any]]:
    """Every section and key with its value in TOML's own types; absent paths as ''."""
    return {
        section.name: _keys_of(getattr(root, section.name)) for section in dataclasses.fields(root)
    }


def _keys_of(section: Any) -> dict[str, Any]:
    rest = _rest(type(section))
    named = {
        key.name: _plain(getattr(section, key.name))
        for key in dataclasses.fields(section)
        if key.name != rest
    }
    return {**named, **getattr(section, rest)} if rest else named


def _rest(section: Any) -> str:
    """The field that takes the keys which no field of the section has; empty: there is none."""
    names = [item.name for item in dataclasses.fields(section) if item.metadata.get("rest")]
    return names[0] if names else ""


def mantissa_exponent(value: float, key: str) -> tuple[int, int]:
    """``value`` as ``mantissa * 2^(exponent - 15)`` with 2^14 <= mantissa < 2^15, ties to even.

    Raises:
        ConfigError: When ``value`` is not a positive finite number.
    """
    if not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{value} is no rate", where=key, expected="a positive finite number")
    fraction, exponent = math.frexp(value)
    mantissa = round(math.ldexp(fraction, 15))  # exact scaling, then Python's ties-to-even
    if mantissa == 1 << 15:
        return 1 << 14, exponent + 1
    return mantissa, exponent


def _override(text: str, sections: dict[str, Any]) -> tuple[str, str, Any]:
    """Splits ``section.key=value`` and reads the value."""
    name_key, equals, raw = text.partition("=")
    name, dot, key = name_key.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"cannot read --set {text}", expected="--set section.key=value")
    _known(name, sections, f"--set {text}", "section")
    fields = typing.get_type_hints(sections[name])
    if not _rest(sections[name]):
        _known(key, fields, f"--set {text}", "key", prefix=f"{name}.")
    raw = raw.strip()
    if fields.get(key) in (str, Path):  # text needs no quotes on a command line
        return name, key, raw.strip("\"'")
    try:
        return name, key, tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        return name, key, raw


def _section(
    section: type[T], name: str, given: dict[str, tuple[Any, str]], *, base: Path, source: str
) -> T:
    types = typing.get_type_hints(section)
    values: dict[str, Any] = {}
    rest = _rest(section)
    for item in dataclasses.fields(section):  # type: ignore[arg-type]
        if item.name == rest:
            named = {other.name for other in dataclasses.fields(section)} - {rest}  # type: ignore[arg-type]
            values[rest] = {key: raw for key, (raw, _) in given.items() if key not in named}
            continue
        where = f"{source}: {name}.{item.name}"
        if item.name in given:
            raw, origin = given[item.name]
            where = origin if origin.startswith("--set") else where
            value = _convert(raw, types[item.name], f"{name}.{item.name}", where, base)
        else:
            value = item.default
            if isinstance(value, Path) and value != Path():
                value = (base / value).resolve()
        check: Callable[[Any], str] | None = item.metadata.get("check")
        if check and (expected := check(value)):
            shown = "missing" if value == Path() else f"{_plain(value)!r}, which it cannot be"
            raise ConfigError(f"{name}.{item.name} is {shown}", where=where, expected=expected)
        values[item.name] = value
    return section(**values)


def _convert(raw: Any, kind: Any, key: str, where: str, base: Path) -> Any:
    """``raw`` as the field's type; bool is no number, an integer is a float where one is due."""
    if kind is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if kind is int and isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if kind is str and isinstance(raw, str):
        return raw
    if kind is bool and isinstance(raw, bool):
        return raw
    if kind is Path and isinstance(raw, str):
        return _path(raw, key, where, base)
    if kind == tuple[str, ...]:
        items = raw if isinstance(raw, list) else [raw]
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return tuple(str(item) for item in items)
    names = {
        float: "a number",
        int: "an integer",
        str: "text",
        bool: "true or false",
        Path: "a path, as text",
    }
    raise ConfigError(
        f"{key} is {raw!r}, of the wrong type",
        where=where,
        expected=names.get(kind, "a list of names"),
    )


def _path(raw: str, key: str, where: str, base: Path) -> Path:
    """Absolute; an empty text is no path at all."""
    try:
        return (base / Path(raw).expanduser()).resolve() if raw else Path()
    except (RuntimeError, ValueError) as error:  # ~ of no such user; a NUL
        raise ConfigError(f"{key} is no path: {error}", where=where) from error


def _known(name: str, options: dict[str, Any], where: str, what: str, prefix: str = "") -> None:
    if name in options:
        return
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    raise ConfigError(
        f"unknown {what} {prefix}{name}",
        where=where,
        expected=", ".join(prefix + option for option in options),
        hint=f"did you mean {prefix}{near[0]}?" if near else "",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return "" if value == Path() else str(value)
    return list(value) if isinstance(value, tuple) else value


def _tidy(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"
