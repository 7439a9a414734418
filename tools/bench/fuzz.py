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
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support import fuzzing  # noqa: E402
from support.fuzz_targets import TARGETS, mutations, seeds  # noqa: E402

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
    if importlib.util.find_spec("atheris") is None:
        started = time.monotonic()
        for data in mutations(name, runs, seed):
            TARGETS[name](data)
        print(f"{name}: {runs} executions in {time.monotonic() - started:.0f} s, no finding")
        return 0
    corpus = folder / f"python-{name}-corpus"
    corpus.mkdir(exist_ok=True)
    for index, data in enumerate(seeds(name)):
        (corpus / f"seed-{index:03}").write_bytes(data)
    import atheris  # type: ignore[import-not-found] # noqa: PLC0415 - it is asked for just above

    atheris.instrument_all()
    atheris.Setup(
        [sys.argv[0], f"-runs={runs}", f"-seed={seed}", "-print_final_stats=1",
         f"-artifact_prefix={folder}/python-{name}-", str(corpus)],
        TARGETS[name],
    )  # fmt: skip
    atheris.Fuzz()
    return 0


def main() -> int:
    """Fuzzes one target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("language", choices=("c", "python"))
    parser.add_argument("target", help=f"{', '.join(HARNESSES)}; {', '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    known = HARNESSES if chosen.language == "c" else TARGETS
    if chosen.target not in known:
        parser.error(f"{chosen.target}: one of {', '.join(known)}")
    folder = ROOT / "build" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    run = fuzz_c if chosen.language == "c" else fuzz_python
    return run(chosen.target, chosen.runs, chosen.seed, folder)


if __name__ == "__main__":
    sys.exit(main())
