# SPDX-License-Identifier: Apache-2.0
"""The digits example's bundle and firmware, built once for all tests that need real devices."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgrad import config as configs
from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.config import Config
from fleetgrad.errors import ToolError
from fleetgrad.fleet import VirtualFleet
from fleetgrad.run import execute
from fleetgrad.toolchain import build_image, find_compiler
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme.last_layer import LastLayer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"


def board(board_id: str) -> Board:
    """The board, or a skip that says what is missing to build for it."""
    found = load_board(paths.boards(), board_id)
    try:
        find_compiler(found.compiler.family)
    except ToolError as error:
        pytest.skip(f"cannot build for {board_id}: {error.what}")
    if found.qemu and shutil.which(found.qemu.program) is None:
        pytest.skip(f"no emulator: {found.qemu.program} is not installed")
    return found


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("digits") / "bundle"
    model = (EXAMPLE / "digits.tflite").read_bytes()
    loss = Loss.SOFTMAX_CROSS_ENTROPY
    generate(model, "digits", scheme=LastLayer(), loss=loss, batch=2).write(directory)
    return directory


@pytest.fixture(scope="session")
def library(digits_bundle: Path) -> Path:
    out = digits_bundle.parent / "library"
    return build_image(digits_bundle, board("native"), "library", out).path


@pytest.fixture(scope="session")
def node(digits_bundle: Path) -> Path:
    return build_image(digits_bundle, board("native"), "node", digits_bundle.parent / "node").path


@pytest.fixture(scope="session")
def mps2(digits_bundle: Path) -> tuple[Board, Path]:
    found = board("mps2_an386")
    out = digits_bundle.parent / found.id
    return found, build_image(digits_bundle, found, "node", out).path


@pytest.fixture
def digits(tmp_path: Path) -> Config:
    """A short run of the example on three devices with a part of their samples."""
    return configs.load(
        EXAMPLE / "fleetgrad.toml",
        [
            f"run.dir={tmp_path / 'runs'}",
            "rounds.count=2",
            "rounds.min_updates=3",
            "fleet.devices=3",
            "data.limit=40",
            "train.batch=2",
            "train.epochs=1",
        ],
    )


@pytest.fixture(scope="session")
def mqtt_node(digits_bundle: Path) -> Path:
    """The node whose line is a broker."""
    out = digits_bundle.parent / "mqtt"
    try:
        return build_image(
            digits_bundle, load_board(paths.boards(), "native_mqtt"), "node", out
        ).path
    except ToolError as error:
        if "mosquitto.h" in str(error):
            pytest.skip("no libmosquitto: apt install libmosquitto-dev")
        raise


@pytest.fixture
def undisturbed(digits: Config, digits_bundle: Path, library: Path, tmp_path: Path) -> str:
    """The digest that virtual devices with the same data end with."""
    elsewhere = replace(digits, run=replace(digits.run, dir=tmp_path / "virtual"))
    return execute(elsewhere, digits_bundle, VirtualFleet(library)).model_digest
