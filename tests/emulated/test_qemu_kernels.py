# SPDX-License-Identifier: Apache-2.0
"""Kernels as cores with DSP instructions and with vectors execute them, bit for bit."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import bench_forward
from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.verify import device_graph, random_inputs, reference_outputs
from support.real_models import REAL_MODELS, RealModel
from support.single_ops import SINGLE_OPS
from support.strategies import int8s

pytestmark = pytest.mark.emulated

INPUTS, RANDOM_INPUTS = 6, 3
MODELS = dict.fromkeys(SINGLE_OPS, 1) | {
    "conv_2d": 6, "conv_2d_of_huge_sums": 2, "conv_2d_of_many_taps": 3, "depthwise_conv_2d": 6,
    "fully_connected": 6, "fully_connected_of_huge_sums": 2,
}  # fmt: skip
"""How many random models of each operator; more of those that use the instructions."""


@pytest.fixture(scope="module", params=("mps2_an386", "mps3_an547"))
def core(request: pytest.FixtureRequest, emulator: None) -> Board:
    """A Cortex-M4, whose kernels are those of dsp/, and a Cortex-M55, with those of mve/."""
    return load_board(paths.boards(), request.param)


def run(board: Board, folder: Path, bundle: Bundle, inputs: list[np.ndarray]) -> np.ndarray:
    """Outputs of the board, one row per input."""
    bundle.write(folder / "bundle")
    image = build_image(folder / "bundle", board, "bench", folder)
    output_bytes = bundle.program.graph.tensors[bundle.program.graph.outputs[0]].nbytes
    return bench_forward(board, image, np.stack(inputs), output_bytes=output_bytes).outputs


@pytest.mark.parametrize("kind", MODELS)
def test_single_operators_equal_the_reference(core: Board, tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(zlib.crc32(b"board " + kind.encode()))
    for number in range(MODELS[kind]):
        data = SINGLE_OPS[kind](rng)
        graph = read_model(data, kind)
        xs = [int8s(rng, graph.tensors[graph.inputs[0]].shape) for _ in range(INPUTS)]
        expected = [y.reshape(-1) for y in reference_outputs(graph, xs)]
        given = run(core, tmp_path / str(number), generate(data, kind), xs)
        np.testing.assert_array_equal(given, expected, f"model {number}")


@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_models_meet_golden_and_reference_outputs(
    core: Board, shared_data: Path, tmp_path: Path, name: str
) -> None:
    real = RealModel(shared_data, name)
    graph = device_graph(real.data, name)
    golden = list(real.golden())
    inputs = [*(x for x, _ in golden), *random_inputs(graph, RANDOM_INPUTS, seed=9)]
    given = run(core, tmp_path, generate(real.data, name), [x.reshape(-1) for x in inputs])
    for output, expected in zip(given, reference_outputs(graph, inputs), strict=True):
        np.testing.assert_array_equal(output, expected.reshape(-1))
    for output, (_, wanted) in zip(given, golden, strict=False):
        np.testing.assert_array_equal(real.leave(output), wanted)
