# SPDX-License-Identifier: Apache-2.0
"""Training of any layers on emulated boards: byte for byte what portable kernels learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, DeepScheme, Full, Sparse
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate
from support.deep_models import DEEP
from support.native_model import Builder, NativeModel, compile_runtime, compiler

pytestmark = pytest.mark.emulated

STEPS, SAMPLES, KEY = 6, 4, 77
RATES = {"usual": LearningRate.of(0.01), "violent": LearningRate.of(30.0)}
SCHEMES: dict[str, DeepScheme] = {"bias": Bias(), "sparse": Sparse(ratio=0.4), "full": Full()}
CASES = [(model, scheme) for model in DEEP for scheme in SCHEMES if scheme != "bias"]
CASES += [("separable", "bias")]

Built = dict[tuple[str, str], tuple[Bundle, NativeModel]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Bundles, each with a model that runs the portable kernels on this machine."""
    cc = compiler()
    if cc is None:
        pytest.skip("no C compiler on this host (cc, gcc or clang)")
    folder = tmp_path_factory.mktemp("portable")
    runtime = compile_runtime(folder / "runtime", cc, ("-O2", "-fPIC"))
    made = {
        f"{model} {scheme}": generate(
            DEEP[model](np.random.default_rng(3)), model, scheme=SCHEMES[scheme],
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
        )
        for model, scheme in CASES
    }  # fmt: skip
    models = Builder(cc, tuple(runtime)).load(made, folder)
    return {case: (made[" ".join(case)], models[" ".join(case)]) for case in CASES}


@pytest.fixture(params=["mps2_an386", "mps2_an500"])
def board(request: pytest.FixtureRequest, mps2: Board) -> Board:
    """Cortex-M4 and Cortex-M7: the same kernels."""
    return mps2 if request.param == mps2.id else load_board(paths.boards(), request.param)


def expected(device: NativeModel, x: np.ndarray, labels: np.ndarray, rate: LearningRate) -> bytes:
    """The parameter vector after the same steps here."""
    device.refresh()
    for step in range(STEPS):
        pick = step % len(x)
        assert device.accumulate(x[pick], int(labels[pick]), 0)[0] == 0
        key = rng.step_key(KEY, step)
        assert device.apply(1, rate.mantissa, rate.exponent, key) == 0
    return device.params.tobytes()


@pytest.mark.parametrize("pace", RATES)
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_boards_learn_what_portable_kernels_learn(
    built: Built, board: Board, tmp_path: Path, case: tuple[str, str], pace: str
) -> None:
    bundle, device = built[case]
    bundle.write(tmp_path / "bundle")
    image = build_image(tmp_path / "bundle", board, "bench", tmp_path / "image")
    dice = np.random.default_rng(2)
    x = dice.integers(-128, 128, (SAMPLES, device.struct.input_bytes), np.int8)
    labels = dice.integers(0, 3, SAMPLES).astype(np.uint32)
    rate = RATES[pace]
    job = TrainingJob(STEPS, 1, rate.mantissa, rate.exponent, KEY)
    start = np.frombuffer(bundle.files["params.bin"], np.uint8)
    device.params[:] = start
    learned = bench_training(board, image, x, labels, job).params
    assert learned == expected(device, x, labels, rate)
    assert learned != start.tobytes()
