# SPDX-License-Identifier: Apache-2.0
"""Writes both sides of the wire, and the tables of SPEC.md, from wire.toml.

`python tools/schema/generate.py` writes what changed; with `--check` it writes nothing and exits
with 1 where a file is out of date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import emit_c
import emit_markdown
import emit_python

from schema import SchemaError, load

ROOT = Path(__file__).resolve().parents[2]


def outputs(root: Path) -> dict[Path, str]:
    """Returns the wanted text of every generated file, by its path."""
    schema = load(root / "tools/schema/wire.toml")
    spec = root / "SPEC.md"
    return {
        root / "host/fleetgrad/wire/messages.py": emit_python.emit(schema),
        root / "firmware/include/fleetgrad/fg_messages.h": emit_c.emit(schema),
        spec: emit_markdown.insert(spec.read_text(encoding="utf-8"), schema),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args(arguments).check
    try:
        wanted = outputs(ROOT)
    except (SchemaError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = 0
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"out of date: {path.relative_to(ROOT)}", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
