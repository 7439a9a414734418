# SPDX-License-Identifier: Apache-2.0
"""The backward pass stays inside its memory and inside the language, whatever the learning rate."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, Lora, Sparse
from support.deep_models import DEEP
from support.heads import autoencoder
from support.native_model import compile_models, compile_objects, compile_runtime

SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DRIVER = Path(__file__).with_name("train_models.c")
SCHEMES = (Bias(), Sparse(ratio=0.4), Full(), Lora(rank=2))


def _run(bundles: Sequence[Bundle], folder: Path, cc: str, flags: Sequence[str]) -> str:
    folder.mkdir()
    names = [f"model_{index}" for index in range(len(bundles))]
    table = "".join(f"extern const fg_model {name};\n" for name in names)
    table += f"static const fg_model *const models[] = {{{', '.join(f'&{n}' for n in names)}}};\n"
    (folder / "models.h").write_text(table)
    objects = [
        *compile_runtime(folder, cc, flags),
        *compile_models(bundles, folder, cc, flags),
        *compile_objects({DRIVER: [f"-I{folder}"]}, folder, cc, flags),
    ]
    program = folder / "train_models"
    subprocess.run([cc, *flags, "-o", str(program), *map(str, objects)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernels",
    [(), ("-DFG_EMULATE_DSP",), ("-DFG_EMULATE_MVE",)],
    ids=["portable", "dsp", "mve"],
)
@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_training_is_clean_and_agrees_with_an_optimised_build(
    cc: str, kernels: tuple[str, ...], tmp_path: Path
) -> None:
    if shutil.which(cc) is None:
        pytest.skip(f"no {cc}")
    dice = np.random.default_rng(5)
    made = [
        generate(make(dice), name, scheme=scheme, loss=Loss.SOFTMAX_CROSS_ENTROPY)
        for name, make in DEEP.items()
        for scheme in SCHEMES
    ]
    model = autoencoder(dice)
    made += [generate(model, "a", scheme=s, loss=Loss.SQUARED_ERROR) for s in SCHEMES]
    clean = _run(made, tmp_path / "clean", cc, (*SANITIZED, *kernels))
    assert clean == _run(made, tmp_path / "fast", cc, ("-O3",))
    assert len(clean.split()) == len(made)
