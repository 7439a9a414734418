# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
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


@pytest.mark.parametrize("scheme", ["bias", "sparse", "full"])
def test_schemes_learn_the_same_bits_on_both_backends(
    fleetgrad: Run, digits: list[str], scheme: str
) -> None:
    options = ["train", *digits, "--user", "3", "--json", "--scheme", scheme]
    options += ["--set", "train.learning_rate=0.01", "--set", "train.epochs=1"]
    reference = fleetgrad(*options, "--backend", "reference").json
    native = fleetgrad(*options, "--backend", "native").json
    assert reference["params_sha256"] == native["params_sha256"]
    assert reference["loss"] == pytest.approx(native["loss"])


def test_a_scheme_file_trains_the_layers_it_names(
    fleetgrad: Run, digits: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    digest = hashlib.sha256(Path(digits[0]).read_bytes()).hexdigest()
    path.write_text(f'model = "{digest}"\n[[layer]]\nop = 2\nratio = 0.5\n')
    plan = fleetgrad("plan", *digits, "--json", "--scheme", path)
    assert plan.code == 0, plan.err
    assert 0 < plan.json["params_ram_bytes"] < 10_000
    options = ["train", *digits, "--user", "3", "--json", "--set", "train.epochs=1"]
    made = fleetgrad(*options, "--scheme", path, "--backend", "native")
    assert made.code == 0, made.err
    path.write_text(path.read_text().replace(digest[:8], "00000000"))
    refused = fleetgrad(*options, "--scheme", path)
    assert refused.code == 2
    assert digest in refused.err


@pytest.mark.emulated
def test_emulated_board_trains_a_whole_network_to_the_same_bits(
    fleetgrad: Run, digits: list[str], emulator: None
) -> None:
    options = ["train", *digits, "--user", "3", "--json", "--set", "train.epochs=1"]
    options += ["--scheme", "sparse", "--set", "train.learning_rate=0.01"]
    native = fleetgrad(*options, "--backend", "native").json
    board = fleetgrad(*options, "--backend", "mps2_an386").json
    assert board["params_sha256"] == native["params_sha256"]
    assert board["instructions_per_step"] > 0
