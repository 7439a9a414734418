# SPDX-License-Identifier: Apache-2.0
"""The firmware's model called from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import KernelError, Library, NativeModel
from fleetgrad_codegen.bundle import Ranges, generate
from fleetgrad_codegen.ops import run_ops
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias
from support.fake_model import BATCH, DIGEST, PARAM_BYTES, POISON, FakeModel, Samples

SAMPLES = Samples.random(6, seed=11)
BASE = np.random.default_rng(2).integers(0, 256, PARAM_BYTES, np.uint8).tobytes()


@pytest.fixture
def model(library: Library) -> NativeModel:
    fresh = NativeModel(library)
    fresh.params = BASE
    return fresh


def test_descriptor_is_read(library: Library) -> None:
    assert library.digest == DIGEST
    assert (library.input_bytes, library.output_bytes) == (64, 10)
    assert (library.param_bytes, library.batch) == (PARAM_BYTES, BATCH)


def test_exported_parameters_are_the_start(library: Library) -> None:
    assert NativeModel(library).params == b"\x11\x22\x33\x44" + bytes(PARAM_BYTES - 4)


def test_outputs_are_the_models(model: NativeModel) -> None:
    twin = FakeModel.load(BASE)
    expected = [twin.forward(x) for x in SAMPLES.x]
    assert model.forward(SAMPLES.x).tolist() == expected
    assert model.forward(SAMPLES.x.reshape(6, 8, 8, 1)).tolist() == expected
    assert model.forward(SAMPLES.x[::2]).tolist() == expected[::2]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, BATCH), st.integers(0, 2**32 - 1)), max_size=5))
def test_training_steps_are_the_models(library: Library, steps: list[tuple[int, int]]) -> None:
    model, twin = NativeModel(library), FakeModel.load(BASE)
    model.params = BASE
    for rows, key in steps:
        for row in range(rows):
            metrics = model.accumulate(SAMPLES.x[row], int(SAMPLES.y[row]), row)
            loss, correct = twin.evaluate(SAMPLES.x[row], int(SAMPLES.y[row]))
            assert (metrics.loss, metrics.correct) == (loss, correct)
            twin.accumulate(SAMPLES.x[row], int(SAMPLES.y[row]), row)
        model.apply(rows, lr_mantissa=1 << 14, lr_exponent=-2, key=key)
        twin.apply(rows, 1 << 14, -2, key)
    assert model.params == twin.params()


def test_two_models_share_nothing(library: Library) -> None:
    first, second = NativeModel(library), NativeModel(library)
    first.params = BASE
    before = second.params
    first.accumulate(SAMPLES.x[0], 1, 0)
    first.apply(1, lr_mantissa=1 << 14, lr_exponent=0, key=1)
    assert second.params == before


def test_samples_of_another_size_or_type_are_refused(model: NativeModel) -> None:
    for wrong in (SAMPLES.x[:, :63], SAMPLES.x.astype(np.float32)):
        with pytest.raises(ToolError, match="the input has"):
            model.forward(wrong)
    with pytest.raises(ToolError, match="parameter vector of 3 bytes"):
        model.params = b"abc"


def test_a_kernel_that_refuses_is_named(model: NativeModel) -> None:
    poisoned = SAMPLES.x.copy()
    poisoned[2, 0] = POISON
    with pytest.raises(KernelError, match="bad argument"):
        model.forward(poisoned)
    with pytest.raises(KernelError, match="accumulating a sample"):
        model.accumulate(SAMPLES.x[0], 0, BATCH)


def test_what_is_no_library_is_explained(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(b"not a library")
    with pytest.raises(ToolError, match="does not load"):
        Library(tmp_path / "x.so")


def test_measuring_counts_what_each_range_cuts_off(checkout: Path, tmp_path: Path) -> None:
    content = (checkout / "examples" / "har" / "har.tflite").read_bytes()
    made = generate(content, "har", scheme=Bias(), loss=Loss.SOFTMAX_CROSS_ENTROPY, ranges=Ranges())
    made.write(tmp_path / "bundle")
    board = load_board(paths.boards(), "native")
    image = build_image(tmp_path / "bundle", board, "library", tmp_path / "image")
    model = NativeModel(Library(image.path))
    graph = made.program.graph
    x = np.random.default_rng(3).integers(-128, 128, (6, 128, 1, 6), np.int8)
    wanted = np.zeros(len(made.program.ranges), np.int64)
    for sample in x:
        values = run_ops(graph, graph.ops, {graph.inputs[0]: sample[None]})
        for op in graph.ops:
            place = graph.tensors[op.outputs[0]].range
            if op.kind.endswith("CONV_2D") and place is not None:  # a RELU: only at the top
                wanted[place] += np.count_nonzero(values[op.outputs[0]] == 127)
    assert wanted.any()
    for _ in range(2):  # every call begins anew
        assert model.measure(x, len(wanted)).tolist() == wanted.tolist()
