# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.outcome import Run


@pytest.fixture
def digits(checkout: Path) -> Path:
    return checkout / "examples" / "digits"


@pytest.fixture
def samples(digits: Path, tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.load(digits / "digits.npz")["x"][:20])
    return path


def run(fleetgrad: Run, digits: Path, samples: Path, backend: str, out: Path) -> np.ndarray:
    model = digits / "digits.tflite"
    outcome = fleetgrad(
        "infer", model, "--input", samples, "--backend", backend, "-o", out, "--json"
    )
    assert outcome.code == 0
    assert outcome.json["samples"] == 20
    assert ("instructions_per_sample" in outcome.json) == (backend == "mps2_an386")
    return np.asarray(np.load(out)["y0"])


def test_native_code_gives_the_specifications_bits(
    fleetgrad: Run, digits: Path, samples: Path, tmp_path: Path
) -> None:
    reference = run(fleetgrad, digits, samples, "reference", tmp_path / "a.npz")
    assert reference.shape == (20, 10)
    assert reference.dtype == np.int8
    native = run(fleetgrad, digits, samples, "native", tmp_path / "b.npz")
    assert (native == reference).all()


@pytest.mark.emulated
def test_emulated_board_gives_the_specifications_bits(
    fleetgrad: Run, digits: Path, samples: Path, tmp_path: Path, emulator: None
) -> None:
    reference = run(fleetgrad, digits, samples, "reference", tmp_path / "a.npz")
    board = run(fleetgrad, digits, samples, "mps2_an386", tmp_path / "b.npz")
    assert (board == reference).all()


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_float_ends_are_converted_on_the_host(
    fleetgrad: Run, shared_data: Path, tmp_path: Path, backend: str
) -> None:
    models = shared_data / "models"
    golden = models / "golden" / "mltk_magic_wand_int8.npz"
    out = tmp_path / "y.npz"
    model = models / "mltk_magic_wand_int8.tflite"
    fleetgrad("infer", model, "--input", golden, "--backend", backend, "-o", out)
    found = np.load(out)["y0"]
    wanted = np.load(golden)["y0"]
    assert found.dtype == np.float32
    assert (found == wanted).all()


@pytest.mark.parametrize(
    ("x", "complaint"),
    [
        (np.zeros((2, 8, 8, 1), np.float32), "type float32"),
        (np.zeros((2, 64), np.int8), r"shape (64,)"),
        (np.zeros((0, 8, 8, 1), np.int8), "no samples"),
    ],
)
def test_refuses_samples_that_do_not_fit(
    fleetgrad: Run, digits: Path, tmp_path: Path, x: np.ndarray, complaint: str
) -> None:
    np.savez(tmp_path / "x.npz", x=x)
    out = tmp_path / "y.npz"
    model = digits / "digits.tflite"
    outcome = fleetgrad("infer", model, "--input", tmp_path / "x.npz", "-o", out)
    assert outcome.code == 2
    assert complaint in outcome.err
    assert "x.npz" in outcome.err
    assert not out.exists()


def test_refuses_a_backend_that_is_none(
    fleetgrad: Run, digits: Path, samples: Path, tmp_path: Path
) -> None:
    model = digits / "digits.tflite"
    out = tmp_path / "y.npz"
    outcome = fleetgrad("infer", model, "--input", samples, "--backend", "mps2", "-o", out)
    assert outcome.code == 2
    assert "mps2_an386" in outcome.err
    assert not out.exists()
