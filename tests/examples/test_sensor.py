# SPDX-License-Identifier: Apache-2.0
"""A firmware of the user's own: its sensor's samples are kept on the board and train the model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetgrad import config as configs
from fleetgrad import paths
from fleetgrad.boards import list_boards, load_board
from fleetgrad.errors import ToolError
from fleetgrad.fleet import Panel, SerialFleet
from fleetgrad.run import execute
from fleetgrad.toolchain import build_image, find_compiler
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme.last_layer import LastLayer
from support.serial_boards import SerialBoard

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SENSOR, DIGITS = EXAMPLES / "sensor", EXAMPLES / "digits"
BAUD, CAPACITY, DEVICE = 115200, 32, 0x5E50
LINES = 40
BOARDS = ("mps2_an386", "nucleo_f446re", "nrf52840dk", "rpi_pico", "riscv_virt")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sensor") / "bundle"
    model = (DIGITS / "digits.tflite").read_bytes()
    loss = Loss.SOFTMAX_CROSS_ENTROPY
    generate(model, "digits", scheme=LastLayer(), loss=loss, batch=4).write(folder)
    return folder


@pytest.fixture
def board(bundle: Path, tmp_path: Path) -> Iterator[SerialBoard]:
    native = load_board(paths.boards(), "native")
    try:
        find_compiler(native.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    program = build_image(bundle, native, "node", tmp_path / "out", own=SENSOR, sanitize=True).path
    (tmp_path / "dev").mkdir()
    made = SerialBoard(program, b"", tmp_path / "dev", tmp_path / "board")
    yield made
    made.unplug()


def test_what_the_sensor_gave_trains_the_model(
    board: SerialBoard, bundle: Path, tmp_path: Path
) -> None:
    board.plug("ttyACM0")
    until = time.monotonic() + 60
    held = 0
    while held < CAPACITY and time.monotonic() < until:  # a sample comes every 50 ms
        panel = Panel((board.port,), BAUD)
        seen = panel.sightings(lambda found: any(one.identity for one in found), 5)
        panel.stop()
        held = max((one.identity.train_samples for one in seen if one.identity), default=0)
    assert held == CAPACITY
    config = configs.load(
        DIGITS / "fleetgrad.toml",
        [
            f"run.dir={tmp_path / 'runs'}",
            "rounds.count=6",
            "rounds.min_updates=1",
            "ranges.grow=off",
            "train.batch=4",
        ],
    )
    result = execute(config, bundle, SerialFleet((board.port,), BAUD, 1))
    assert [row.accepted for row in result.rounds] == [(DEVICE,)] * 6
    assert all(device.train_samples == CAPACITY for device in result.devices)
    losses = [row.loss for row in result.rounds]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < losses[0] / 2, losses


@pytest.mark.parametrize("board_id", BOARDS)
def test_it_compiles_for_boards(board_id: str, bundle: Path, tmp_path: Path) -> None:
    found = next(one for one in list_boards(paths.boards()) if one.id == board_id)
    try:
        find_compiler(found.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    image = build_image(bundle, found, "node", tmp_path, own=SENSOR)
    assert 0 < image.ram_bytes <= found.ram_bytes


def test_that_takes_few_lines() -> None:
    text = (SENSOR / "main.c").read_text().split("*/", 2)[2]
    assert len([line for line in text.splitlines() if line.strip()]) < LINES
