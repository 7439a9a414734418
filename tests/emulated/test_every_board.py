# SPDX-License-Identifier: Apache-2.0
"""Every emulated core: the same bits as this machine's, exact counts, and a node that lives."""

from __future__ import annotations

import hashlib
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import Image, build_image, find_compiler
from fleetgrad.toolchain.bench import TrainingJob, bench_forward, bench_training
from fleetgrad.toolchain.emulator import ICOUNT_SHIFT
from fleetgrad.toolchain.library import Library, NativeModel
from fleetgrad.wire.messages import Chunk, Error, ErrorCode, Hello, StatusRequest
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import DeepScheme, Full, LastLayer, Sparse
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate
from support.deep_models import DEEP
from support.emulated import Machine
from support.fake_model import (
    CRASH,
    DEVICE,
    DIGEST,
    FAKE_BUNDLE,
    HELD_OUT,
    PARAM_BYTES,
    TRAIN,
    FakeModel,
    Samples,
    Terms,
    data_image,
    expected_update,
)
from support.node_host import round_open
from support.real_models import RealModel
from support.socket_line import run_round

pytestmark = pytest.mark.emulated

BASE = bytes(range(256)) * 5 + bytes(PARAM_BYTES - 1280)
SAMPLES = Samples.random(7, seed=6)
STEPS, KEY = 6, 77
RATE = LearningRate.of(0.02)

TURNS = {"microbit": 2.3, "lx106_sim": 2.3}  # their counters' turns are counted by the port
INCLUDES = '#include "core.h"\n#include "model.h"'

CASES: dict[str, tuple[str, DeepScheme | LastLayer, int]] = {
    "last-layer": ("cnn", LastLayer(), 2),
    "full": ("cnn", Full(), 1),
    "sparse": ("separable", Sparse(ratio=0.4), 1),
    "depthwise": ("spectral", Full(), 1),
}
"""Networks, schemes and batches, small enough for every board."""


@pytest.fixture(scope="session")
def native() -> Board:
    found = load_board(paths.boards(), "native")
    try:
        find_compiler(found.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    return found


@pytest.fixture(scope="session")
def bench(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(FAKE_BUNDLE, board, "bench", tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def node(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(FAKE_BUNDLE, board, "node", tmp_path_factory.mktemp("node"))


@pytest.mark.parametrize("case", CASES)
def test_inference_and_training_are_this_machines_bit_for_bit(
    board: Board, native: Board, tmp_path: Path, case: str
) -> None:
    network, scheme, rows = CASES[case]
    model = DEEP[network](np.random.default_rng(3))
    made = generate(model, case, scheme=scheme, loss=Loss.SOFTMAX_CROSS_ENTROPY, batch=rows)
    made.write(tmp_path / "bundle")
    here = NativeModel(Library(build_image(tmp_path / "bundle", native, "library", tmp_path).path))
    graph = made.program.graph
    shape = graph.tensors[graph.inputs[0]].shape
    dice = np.random.default_rng(11)
    x = dice.integers(-128, 128, (9, int(np.prod(shape))), np.int8)
    outputs = here.forward(x)
    labels = dice.integers(0, outputs.shape[1], len(x)).astype(np.uint32)

    image = build_image(tmp_path / "bundle", board, "bench", tmp_path / board.id)
    there = bench_forward(board, image, x, output_bytes=outputs.shape[1])
    np.testing.assert_array_equal(there.outputs, outputs)

    losses = []
    for step in range(STEPS):
        picks = [(step * rows + row) % len(x) for row in range(rows)]
        losses.append(
            sum(here.accumulate(x[p], int(labels[p]), row).loss for row, p in enumerate(picks))
        )
        here.apply(
            rows, lr_mantissa=RATE.mantissa, lr_exponent=RATE.exponent, key=rng.step_key(KEY, step)
        )
    job = TrainingJob(STEPS, rows, RATE.mantissa, RATE.exponent, KEY)
    trained = bench_training(board, image, x, labels, job)
    assert list(trained.losses) == losses
    assert hashlib.sha256(trained.params).hexdigest() == hashlib.sha256(here.params).hexdigest()
    assert trained.params != made.files["params.bin"]
    assert 0 < trained.stack_bytes <= image.stack_bytes


def test_a_real_model_meets_its_golden_outputs(
    board: Board, shared_data: Path, tmp_path: Path
) -> None:
    real = RealModel(shared_data, "mlperf_kws_ref_model")
    made = generate(real.data, real.name)
    made.write(tmp_path / "bundle")
    image = build_image(tmp_path / "bundle", board, "bench", tmp_path)
    inputs, wanted = zip(*islice(real.golden(), 2), strict=True)
    graph = made.program.graph
    output_bytes = graph.tensors[graph.outputs[0]].nbytes
    x = np.stack([x.reshape(-1) for x in inputs])
    given = bench_forward(board, image, x, output_bytes=output_bytes).outputs
    for output, expected in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(real.leave(output), expected)


def test_counts_are_of_single_instructions_and_repeatable(
    board: Board, bench: Image, tmp_path: Path
) -> None:
    counts = []
    for nops in (0, 1, 1000):
        folder = tmp_path / str(nops)
        folder.mkdir()
        for name in ("model.c", "model.h"):
            text = (FAKE_BUNDLE / name).read_text()
            head = "static fg_status forward(const fg_model_state *state) {\n"
            extra = f'    __asm volatile(".rept {nops}\\n nop\\n .endr");\n'
            folder.joinpath(name).write_text(text.replace(head, head + extra))
        image = build_image(folder, board, "bench", folder / "out")
        first = bench_forward(board, image, SAMPLES.x, output_bytes=10, params=BASE)
        model = FakeModel.load(BASE)
        assert first.outputs.tolist() == [model.forward(x) for x in SAMPLES.x]
        assert len(set(first.instructions)) == 1
        assert 0 < first.stack_bytes <= image.stack_bytes
        counts.append(first.instructions[0])
    assert counts[1] - counts[0] == 1
    assert counts[2] - counts[0] == 1000
    again = bench_forward(board, bench, SAMPLES.x, output_bytes=10, params=BASE)
    assert again.instructions[0] == counts[0]


def test_a_node_does_its_rounds_and_survives_a_fault(
    board: Board, node: Image, tmp_path: Path
) -> None:
    with Machine(board, node.path, tmp_path, data_image(TRAIN, HELD_OUT, boot_base=40)) as machine:
        hello = machine.hello()
        assert (hello.device_id, hello.model_digest) == (DEVICE, DIGEST)
        assert (hello.boot_count, hello.problem) == (41, 0)
        assert hello.firmware_hash == node.firmware_hash
        for terms in (Terms(), Terms(number=2, batch=1, epochs=3, seed=12)):
            update = run_round(machine.line, terms, BASE)
            assert update == expected_update(terms, DEVICE, BASE, TRAIN, HELD_OUT)

    fatal = Samples.random(3, seed=8)
    fatal.x[1, 1] = CRASH
    with Machine(board, node.path, tmp_path, data_image(fatal, HELD_OUT, boot_base=7)) as machine:
        assert machine.hello().boot_count == 8
        machine.greet()
        machine.line.send(round_open(Terms(), BASE), Chunk(1, 0, BASE[:1000]))
        machine.line.send(Chunk(1, 1000, BASE[1000:]))
        message = machine.line.next()
        while not isinstance(message, Hello):
            message = machine.line.next()
        assert message.boot_count == 9
        machine.line.send(StatusRequest())
        refused = machine.line.next()
        assert isinstance(refused, Error)
        assert refused.code == ErrorCode.NO_SESSION


def test_an_idle_node_sleeps(board: Board, node: Image, tmp_path: Path) -> None:
    with Machine(board, node.path, tmp_path, data_image(TRAIN, HELD_OUT, boot_base=40)) as machine:
        machine.hello()
        machine.greet()
        before = machine.cpu_seconds()
        time.sleep(1)
        assert machine.cpu_seconds() - before <= 0.1


def test_runs_of_more_ticks_than_a_counter_has_are_counted_too(
    board: Board, bench: Image, tmp_path: Path
) -> None:
    assert board.qemu is not None
    ticks_per_loop = 2 * board.qemu.timer_hz * 2**ICOUNT_SHIFT / 10**9
    loops = int(TURNS.get(board.id, 1.2) * 2**32 / ticks_per_loop)
    source = (FAKE_BUNDLE / "model.c").read_text().replace('#include "model.h"', INCLUDES)
    head = "static fg_status forward(const fg_model_state *state) {\n"
    (tmp_path / "model.c").write_text(source.replace(head, head + f"    core_spin({loops}U);\n"))
    (tmp_path / "model.h").write_text((FAKE_BUNDLE / "model.h").read_text())
    image = build_image(tmp_path, board, "bench", tmp_path / "out")
    (long,) = bench_forward(board, image, SAMPLES.x[:1], output_bytes=10).instructions
    (short,) = bench_forward(board, bench, SAMPLES.x[:1], output_bytes=10).instructions
    # Loading the counter, and where the counter's turns interrupt, that.
    assert 0 <= long - short - 2 * loops <= 800
