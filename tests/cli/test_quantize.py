# SPDX-License-Identifier: Apache-2.0
"""Float models become int8 ones, or are told why not; other verbs tell how to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.models import ModelBuilder
from support.outcome import Run

NEEDS_TENSORFLOW = "TensorFlow is not installed (pip install 'fleetgrad[models]')"
NEEDS_QUANTISER = "AI Edge Quantizer is not installed (pip install 'fleetgrad[models]')"
SAMPLES = 60


def float_model(weight_type: str = "float32") -> bytes:
    """Three outputs, each of which is one of the four inputs."""
    made = ModelBuilder()
    made.tensor((1, 4), dtype="float32")
    scale = None if weight_type == "float32" else 1.0
    made.tensor((3, 4), scale, dtype=weight_type, data=np.eye(3, 4).astype(weight_type))
    made.tensor((3,), dtype="float32", data=np.zeros(3, np.float32))
    made.tensor((1, 3), dtype="float32")
    made.op("FULLY_CONNECTED", (0, 1, 2), (3,))
    return made.build([0], [3])


def samples(**more: Any) -> dict[str, Any]:
    x = np.random.RandomState(5).uniform(-2, 3, (SAMPLES, 4)).astype(np.float32)
    return {"x": x, "y": x[:, :3].argmax(axis=1), **more}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "my model.tflite"
    path.write_bytes(float_model())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", **samples())
    return tmp_path / "data.npz"


def test_a_float_tflite_becomes_int8_and_keeps_its_answers(
    fleetgrad: Run, source: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_quantizer", reason=NEEDS_QUANTISER)
    made = tmp_path / "int8.tflite"
    document = fleetgrad("quantize", source, "--data", data, "-o", made, "--json").json
    assert document["accuracy_float"] == 1.0
    assert document["accuracy_int8"] >= 0.95
    assert document["calibration_samples"] == document["measured_samples"] == SAMPLES
    inspected = fleetgrad("inspect", made, "--json").json
    assert not inspected["problem"]
    (entry,) = inspected["inputs"] if "inputs" in inspected else [inspected["input"]]
    low, high = samples()["x"].min(), samples()["x"].max()
    assert entry["scale"] == pytest.approx((high - low) / 255, rel=1e-3)  # what all samples reach


def test_without_labels_the_cost_is_said_to_be_unknown(
    fleetgrad: Run, source: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_quantizer", reason=NEEDS_QUANTISER)
    np.savez(tmp_path / "x.npz", x=samples()["x"])
    outcome = fleetgrad(
        "quantize", source, "--data", tmp_path / "x.npz", "-o", tmp_path / "o.tflite"
    )
    assert outcome.code == 0
    assert "not known" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_keras_model_becomes_int8_and_keeps_its_answers(
    fleetgrad: Run, data: Path, tmp_path: Path, suffix: str
) -> None:
    keras = pytest.importorskip("tensorflow", reason=NEEDS_TENSORFLOW).keras
    layer = keras.layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.set_weights([np.eye(4, 3, dtype=np.float32), np.zeros(3, np.float32)])
    source, made = tmp_path / f"model{suffix}", tmp_path / "int8.tflite"
    model.save(source)
    document = fleetgrad("quantize", source, "--data", data, "-o", made, "--json").json
    assert document["accuracy_float"] == 1.0
    assert document["accuracy_int8"] >= 0.95
    kinds = [op["op"] for op in fleetgrad("inspect", made, "--json").json["ops"]]
    assert kinds == ["FULLY_CONNECTED", "SOFTMAX"]


def test_a_damaged_keras_file_is_told_as_such(fleetgrad: Run, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason=NEEDS_TENSORFLOW)
    source = tmp_path / "model.keras"
    source.write_bytes(b"PK\x03\x04 and then nothing")
    outcome = fleetgrad("quantize", source, "--data", data, "-o", tmp_path / "o.tflite", "--json")
    assert outcome.code == 2
    assert "Keras cannot read" in outcome.json["error"]["what"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "most"),
    [
        ("mlperf_ic_pretrainedResnet.h5", (32, 32, 3), 110_000),
        ("mlperf_str_ww_ref_model.h5", (30, 1, 40), 90_000),
        ("mlperf_ad01_fp32.tflite", (640,), 330_000),
        ("tflm_magic_wand_float.tflite", (128, 3), 12_000),
    ],
)
def test_real_models_become_int8_ones_that_run(
    fleetgrad: Run,
    shared_data: Path,
    tmp_path: Path,
    *,
    name: str,
    shape: tuple[int, ...],
    most: int,
) -> None:
    wanted, reason = ("tensorflow", NEEDS_TENSORFLOW)
    if name.endswith(".tflite"):
        wanted, reason = ("ai_edge_quantizer", NEEDS_QUANTISER)
    pytest.importorskip(wanted, reason=reason)
    if name == "mlperf_str_ww_ref_model.h5":
        pytest.importorskip("tf_keras", reason="tf-keras is not installed: a file of Keras 2")
    x = np.random.RandomState(1).uniform(0, 1, (24, *shape)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    made = tmp_path / "made.tflite"
    arguments = ["quantize", shared_data / "models" / name, "--data", tmp_path / "data.npz"]
    outcome = fleetgrad(*arguments, "-o", made)
    assert outcome.code == 0, outcome.err
    assert made.stat().st_size < most
    assert not fleetgrad("inspect", made, "--json").json["problem"]


@pytest.mark.parametrize(
    ("arrays", "complaint", "where"),
    [
        (samples(x=np.full((SAMPLES, 4), np.nan, np.float32)), "NaN", "data.npz: x"),
        (samples(x=np.zeros((SAMPLES, 5), np.float32)), "shape (5,)", "data.npz: x"),
        (samples(x=np.full((SAMPLES, 4), 0.5, np.float32)), "every value", "data.npz: x"),
        (samples(x=np.full((SAMPLES, 4), "a")), "samples are <U1", "data.npz: x"),
        (samples(x=np.full((SAMPLES, 4), 1e60)), "beyond float32", "data.npz: x"),
        (samples(test=np.ones(SAMPLES, bool)), "held out", "data.npz: test"),
    ],
    ids=["nan", "shape", "constant", "text", "huge", "held-out"],
)
def test_data_that_fix_no_ranges_are_named(
    fleetgrad: Run,
    source: Path,
    tmp_path: Path,
    *,
    arrays: dict[str, Any],
    complaint: str,
    where: str,
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    made = tmp_path / "made.tflite"
    outcome = fleetgrad("quantize", source, "--data", tmp_path / "data.npz", "-o", made, "--json")
    assert outcome.code == 2
    assert complaint in outcome.json["error"]["what"]
    assert where in outcome.json["error"]["where"]
    assert not made.exists()


@pytest.mark.parametrize(
    ("suffix", "module"), [(".keras", "tensorflow"), (".tflite", "ai_edge_quantizer")]
)
def test_what_is_not_installed_is_named_with_its_extra(
    fleetgrad: Run,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    suffix: str,
    module: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    source = tmp_path / f"model{suffix}"
    source.write_bytes(float_model())
    made = tmp_path / "made.tflite"
    outcome = fleetgrad("quantize", source, "--data", data, "-o", made, "--json")
    assert outcome.code == 1
    assert "not installed" in outcome.json["error"]["what"]
    assert "fleetgrad[models]" in outcome.json["error"]["try"]


def test_a_model_that_is_int8_already_is_left_alone(
    fleetgrad: Run, checkout: Path, data: Path, tmp_path: Path
) -> None:
    digits = checkout / "examples" / "digits" / "digits.tflite"
    outcome = fleetgrad("quantize", digits, "--data", data, "-o", tmp_path / "o.tflite", "--json")
    assert outcome.code == 2
    assert "int8 already" in outcome.json["error"]["what"]


def test_int8_weights_cannot_be_made_float_again(
    fleetgrad: Run, data: Path, tmp_path: Path
) -> None:
    source = tmp_path / "hybrid.tflite"
    source.write_bytes(float_model("int8"))
    outcome = fleetgrad("quantize", source, "--data", data, "-o", tmp_path / "o.tflite", "--json")
    assert outcome.code == 2
    assert "hybrid" in outcome.json["error"]["what"]
    assert "Keras" in outcome.json["error"]["try"]


@pytest.mark.parametrize("verb", ["inspect", "plan", "build", "infer", "train"])
@pytest.mark.parametrize("kind", ["tflite", "h5", "keras"])
def test_other_verbs_tell_how_to_quantise_a_float_model(
    fleetgrad: Run, data: Path, tmp_path: Path, verb: str, kind: str
) -> None:
    source = tmp_path / f"my model.{kind}"
    content = {
        "tflite": float_model(),
        "h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "keras": b"PK\x03\x04" + bytes(26) + b"model.weights.h5",
    }
    source.write_bytes(content[kind])
    more = {"infer": ["--input", data, "-o", "y.npz"], "train": ["--data", data]}.get(verb, [])
    outcome = fleetgrad(verb, source, *more, "--json")
    assert outcome.code == 2
    error = outcome.json["error"]
    assert "float model" in error["what"]
    assert str(source) in error["where"]
    made = tmp_path / "my model_int8.tflite"
    assert error["try"] == f"fleetgrad quantize '{source}' --data DATA.npz -o '{made}'"
