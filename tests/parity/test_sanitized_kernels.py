# SPDX-License-Identifier: Apache-2.0
"""Kernels and generated code under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret
from support.native_model import compile_models, compile_objects, compile_runtime
from support.single_ops import SINGLE_OPS
from support.strategies import int8s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetgrad_codegen.bundle import Bundle

SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MODELS_PER_OP, INPUTS = 6, 4
DRIVER = Path(__file__).with_name("run_models.c")


def build(bundles: Sequence[Bundle], directory: Path, cc: str, kernels: tuple[str, ...]) -> Path:
    """An executable of ``run_models.c``."""
    names = [f"model_{index}" for index in range(len(bundles))]
    table = "".join(f"extern const fg_model {name};\n" for name in names)
    table += f"static const fg_model *const models[] = {{{', '.join(f'&{n}' for n in names)}}};\n"
    (directory / "models.h").write_text(table)
    objects = [
        *compile_runtime(directory, cc, (*SANITIZE, *kernels)),
        *compile_models(bundles, directory, cc, SANITIZE),
        *compile_objects({DRIVER: [f"-I{directory}"]}, directory, cc, SANITIZE),
    ]
    program = directory / "run_models"
    subprocess.run([cc, *SANITIZE, "-o", str(program), *map(str, objects)], check=True)
    return program


def can_sanitize(directory: Path, cc: str) -> bool:
    """Whether the compiler brings the sanitizers' libraries."""
    source = directory / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    command = [cc, *SANITIZE, "-o", str(directory / "empty"), str(source)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_kernels_read_and_write_only_what_is_theirs(
    tmp_path: Path, cc: str, kernels: tuple[str, ...]
) -> None:
    if not can_sanitize(tmp_path, cc):
        pytest.skip(f"{cc} cannot link -fsanitize=address,undefined")
    rng = np.random.default_rng(5)
    files = [make(rng) for make in SINGLE_OPS.values() for _ in range(MODELS_PER_OP)]
    program = build([generate(data, "single") for data in files], tmp_path, cc, kernels)
    given, expected = b"", b""
    for index, data in enumerate(files):
        graph = read_model(data, "single")
        for _ in range(INPUTS):
            x = int8s(rng, graph.tensors[graph.inputs[0]].shape)
            given += bytes([index]) + x.tobytes()
            expected += interpret(graph, [x])[0].tobytes()
    done = subprocess.run([program], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == expected
