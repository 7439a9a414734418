# SPDX-License-Identifier: Apache-2.0
"""Fuzzes everything that meets bytes from elsewhere, for as long as one likes.

    python tools/bench/fuzz.py c wire --runs 100000000
    python tools/bench/fuzz.py c node --runs 10000000
    python tools/bench/fuzz.py python frames --runs 1000000

C runs under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer (clang), Python under
atheris where that is installed (`pip install atheris`), else with random mutations of good inputs.
Findings are kept in build/fuzz.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support import fuzzing  # noqa: E402

HARNESSES = {"wire": fuzzing.WIRE, "node": fuzzing.NODE}

# Allocations are many and short here: freed memory need not be kept for long. Comparisons
# are not traced, which is twice as fast; the corpus knows the constants.
ASAN = "quarantine_size_mb=1:malloc_context_size=0:detect_stack_use_after_return=0"
QUICK = ("-O2", "-fno-sanitize-coverage=trace-cmp")


def fuzz_c(name: str, runs: int, seed: int, folder: Path) -> int:
    """libFuzzer; its own exit code."""
    harness = HARNESSES[name]
    program = fuzzing.build(harness, folder, "clang", "fuzzer,address,undefined", *QUICK)
    if program is None:
        print("this clang has no libFuzzer runtime", file=sys.stderr)
        return 2
    corpus = folder / f"{name}-corpus"
    corpus.mkdir(exist_ok=True)
    for index, data in enumerate(fuzzing.seeds(harness)):
        (corpus / f"seed-{index:03}").write_bytes(data)
    command = [
        str(program), f"-runs={runs}", f"-seed={seed}", "-print_final_stats=1",
        f"-max_len={96 if name == 'wire' else 512}", f"-artifact_prefix={folder}/{name}-",
        str(corpus),
    ]  # fmt: skip
    return subprocess.run(command, env={**os.environ, "ASAN_OPTIONS": ASAN}, check=False).returncode


def fuzz_python(name: str, runs: int, seed: int, folder: Path) -> int:
    """Mutations that new coverage guides, where atheris is there."""
    atheris: Any = None
    instrumented: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if importlib.util.find_spec("atheris") is not None:
        atheris = importlib.import_module("atheris")
        instrumented = atheris.instrument_imports(include=["fleetgrad", "fleetgrad_codegen"])
    with instrumented:
        targets = importlib.import_module("support.fuzz_targets")
    if name not in targets.TARGETS:
        print(f"{name}: one of {', '.join(targets.TARGETS)}", file=sys.stderr)
        return 2
    if atheris is None:
        started = time.monotonic()
        for data in targets.mutations(name, runs, seed):
            targets.TARGETS[name](data)
        print(f"{name}: {runs} executions in {time.monotonic() - started:.0f} s, no finding")
        return 0
    corpus = folder / f"python-{name}-corpus"
    corpus.mkdir(exist_ok=True)
    for index, data in enumerate(targets.seeds(name)):
        (corpus / f"seed-{index:03}").write_bytes(data)
    atheris.Setup(
        [sys.argv[0], f"-runs={runs}", f"-seed={seed}", "-print_final_stats=1",
         f"-artifact_prefix={folder}/python-{name}-", str(corpus)],
        targets.TARGETS[name],
    )  # fmt: skip
    atheris.Fuzz()
    return 0


def main() -> int:
    """Fuzzes one target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("language", choices=("c", "python"))
    parser.add_argument("target", help="wire or node; of Python: see tests/support/fuzz_targets.py")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.language == "c" and chosen.target not in HARNESSES:
        parser.error(f"{chosen.target}: one of {', '.join(HARNESSES)}")
    folder = ROOT / "build" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    run = fuzz_c if chosen.language == "c" else fuzz_python
    return run(chosen.target, chosen.runs, chosen.seed, folder)


if __name__ == "__main__":
    sys.exit(main())
