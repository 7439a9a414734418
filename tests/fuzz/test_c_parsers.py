# SPDX-License-Identifier: Apache-2.0
"""The C that meets bytes from a line, under AddressSanitizer and UndefinedBehaviorSanitizer.

Short here; `python tools/bench/fuzz.py` does the same for as long as one likes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support import fuzzing
from support.fuzzing import NODE, WIRE, Harness


@pytest.fixture(params=[WIRE, NODE], ids=["wire", "node"])
def harness(request: pytest.FixtureRequest) -> Harness:
    found: Harness = request.param
    return found


@pytest.fixture
def corpus(tmp_path: Path, harness: Harness) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index, data in enumerate(fuzzing.seeds(harness)):
        (folder / f"{index:03}").write_bytes(data)
    return folder


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_corpus_runs_clean_under_sanitizers(
    tmp_path: Path, harness: Harness, corpus: Path, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = fuzzing.build(harness, tmp_path, compiler, "address,undefined", "-DFG_FUZZ_MAIN")
    if program is None:
        pytest.skip(f"{compiler} has no sanitizer runtime here")
    paths = map(str, sorted(corpus.iterdir()))
    done = subprocess.run([str(program), *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fuzzing_finds_nothing_in_a_short_run(
    tmp_path: Path, harness: Harness, corpus: Path
) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    program = fuzzing.build(harness, tmp_path, "clang", "fuzzer,address,undefined")
    if program is None:
        pytest.skip("this clang has no libFuzzer runtime")
    grown = tmp_path / "grown"
    grown.mkdir()
    done = subprocess.run(
        [
            str(program),
            "-runs=40000",
            "-seed=1",
            "-max_len=2048",
            "-max_total_time=8",
            f"-artifact_prefix={tmp_path}/",
            str(grown),
            str(corpus),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
