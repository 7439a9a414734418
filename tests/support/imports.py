# SPDX-License-Identifier: Apache-2.0
"""Which module imports which, read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def module_name(path: Path, base: Path) -> str:
    """host/fleetgrad/wire/framing.py under host -> fleetgrad.wire.framing."""
    parts = list(path.relative_to(base).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, base: Path) -> Iterator[tuple[str, int]]:
    """Every imported module with its line; relative imports made absolute, nested ones included.

    `from a import b` yields both a and a.b: b may be a module.
    """
    package = module_name(path, base).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *(node.module.split(".") if node.module else [])])
            yield origin, node.lineno
            for alias in node.names:
                yield f"{origin}.{alias.name}", node.lineno


def within(module: str, *packages: str) -> bool:
    """Is the module one of the packages, or inside one?"""
    return any(module == package or module.startswith(package + ".") for package in packages)
