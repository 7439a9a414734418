# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from support.outcome import Run


@pytest.fixture
def digits(checkout: Path) -> list[str]:
    folder = checkout / "examples" / "digits"
    return [str(folder / "digits.tflite"), "--config", str(folder / "fleetgrad.toml")]


@pytest.mark.parametrize("batch", [1, 7])
def test_reference_and_native_learn_the_same_bits(
    fleetgrad: Run, digits: list[str], batch: int
) -> None:
    options = ["train", *digits, "--user", "3", "--json", "--set", f"train.batch={batch}"]
    reference = fleetgrad(*options, "--backend", "reference").json
    native = fleetgrad(*options, "--backend", "native").json
    assert reference["params_sha256"] == native["params_sha256"]
    assert reference["loss"] == pytest.approx(native["loss"])
    assert native["accuracy_after"] > native["accuracy_before"]


@pytest.mark.emulated
def test_emulated_board_learns_the_same_bits_and_counts(
    fleetgrad: Run, digits: list[str], emulator: None
) -> None:
    options = ["train", *digits, "--user", "3", "--json", "--set", "train.epochs=1"]
    native = fleetgrad(*options, "--backend", "native").json
    board = fleetgrad(*options, "--backend", "mps2_an386").json
    assert board["params_sha256"] == native["params_sha256"]
    assert board["instructions_per_step"] > 0


def test_learned_model_is_written_whole(fleetgrad: Run, digits: list[str], tmp_path: Path) -> None:
    out = tmp_path / "learned.tflite"
    assert fleetgrad("train", *digits, "-o", out).code == 0
    assert fleetgrad("inspect", out).code == 0
    assert list(tmp_path.iterdir()) == [out]


def test_unknown_user_names_those_there_are(fleetgrad: Run, digits: list[str]) -> None:
    outcome = fleetgrad("train", *digits, "--user", "nobody")
    assert outcome.code == 2
    assert "0, 1, 2" in outcome.err


def test_board_refuses_batches_of_two_sizes(
    fleetgrad: Run, digits: list[str], emulator: None
) -> None:
    options = ["--backend", "mps2_an386", "--set", "train.batch=7"]
    outcome = fleetgrad("train", *digits, *options)
    assert outcome.code == 2
    assert "--backend native" in outcome.err
