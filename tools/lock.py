# SPDX-License-Identifier: Apache-2.0
"""Writes requirements.lock and requirements-test.lock from pyproject.toml's ranges.

Each is what pip resolves into an empty environment, one exact version per line, and names no index.
Run with `make lock` after changing a dependency.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def freeze(python: Path) -> list[str]:
    command = [str(python), "-m", "pip", "freeze", "--all"]
    lines = subprocess.run(command, check=True, text=True, capture_output=True).stdout.splitlines()
    return sorted((line for line in lines if not line.startswith("pip==")), key=str.lower)


def install(python: Path, requirements: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", *requirements]
    subprocess.run(command, check=True)


def write(name: str, header: str, lines: list[str]) -> None:
    (ROOT / name).write_text(f"# {header} Written by tools/lock.py.\n" + "\n".join(lines) + "\n")


def main() -> int:
    """Resolves twice: what running needs, and what testing adds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["build-system"]["requires"]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        install(python, [*build, *project["project"]["dependencies"]])
        runtime = freeze(python)
        install(python, project["project"]["optional-dependencies"]["test"])
        everything = freeze(python)
    moved = [line for line in runtime if line not in everything]
    if moved:
        print(f"test packages move {', '.join(moved)}: pin in pyproject.toml", file=sys.stderr)
        return 1
    write("requirements.lock", "What fleetgrad runs with.", runtime)
    added = [line for line in everything if line not in runtime]
    write("requirements-test.lock", "What lint and the tests add.", added)
    return 0


if __name__ == "__main__":
    sys.exit(main())
