# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from support.models import ModelBuilder
from support.outcome import Run


def test_lists_operators_and_the_layer_that_can_train(fleetgrad: Run, shared_data: Path) -> None:
    model = shared_data / "models" / "mlperf_kws_ref_model.tflite"
    document = fleetgrad("inspect", model, "--json").json
    ops = document["ops"]
    assert [op["index"] for op in ops] == list(range(13))
    assert all(op["runs"] for op in ops)
    assert [op["op"] for op in ops if op["trainable"]] == ["FULLY_CONNECTED"]
    assert document["inputs"][0]["shape"] == [1, 49, 10, 1]
    assert document["macs"] > 2_600_000
    assert document["weights_bytes"] > 22_000


def test_still_lists_a_model_that_cannot_run_and_says_why(fleetgrad: Run, tmp_path: Path) -> None:
    made = ModelBuilder()
    made.op("ELU", [made.tensor((1, 4), 0.1)], [made.tensor((1, 4), 0.1)])
    model = tmp_path / "elu.tflite"
    model.write_bytes(made.build([0], [1]))
    outcome = fleetgrad("inspect", model, "--json")
    assert outcome.code == 0
    assert "ELU is not supported" in outcome.json["problem"]
    assert not any(op["trainable"] for op in outcome.json["ops"])
    assert {op["op"]: op["runs"] for op in outcome.json["ops"]}["ELU"] is False


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tflm_keyword_scrambled_8bit", "SVDF"),
        ("tflm_mnist_lstm_int8", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
        ("cfu_mnv2_160_035", "MUL"),
        ("mltk_autoencoder_int8", "LOGISTIC"),
        ("mcunet_mnist_lenet300", "LOG_SOFTMAX"),
        ("mcunet_vww", "TRANSPOSE"),
    ],
)
def test_every_operator_of_the_int8_models_runs(
    fleetgrad: Run, shared_data: Path, name: str, kind: str
) -> None:
    document = fleetgrad("inspect", shared_data / "models" / f"{name}.tflite", "--json").json
    assert not document["problem"]
    runs = {op["op"]: op["runs"] for op in document["ops"]}
    assert runs[kind]
    assert all(runs.values())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("mlperf_ic_pretrainedResnet", "float model"),
        ("mlperf_kws_ref_model_float32", "hybrid model"),
    ],
)
def test_refuses_models_that_compute_in_float(
    fleetgrad: Run, shared_data: Path, name: str, complaint: str
) -> None:
    outcome = fleetgrad("inspect", shared_data / "models" / f"{name}.tflite", "--json")
    assert outcome.code == 2
    assert complaint in outcome.json["error"]["what"]
    assert "fleetgrad quantize" in outcome.json["error"]["try"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "the file is empty"), (b"hello, I am a text", "not a .tflite file")],
)
def test_refuses_what_is_no_model(
    fleetgrad: Run, tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    outcome = fleetgrad("inspect", path)
    assert outcome.code == 2
    assert complaint in outcome.err
    assert str(path) in outcome.err


def test_refuses_a_truncated_model(fleetgrad: Run, shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / "models" / "tflm_hello_world_int8.tflite").read_bytes()
    for length in (40, 1000, 1001, len(whole) - 4):
        path = tmp_path / "m.tflite"
        path.write_bytes(whole[:length])
        assert fleetgrad("inspect", path).code == 2


def test_missing_file_is_invalid_input(fleetgrad: Run, tmp_path: Path) -> None:
    outcome = fleetgrad("inspect", tmp_path / "nope.tflite")
    assert outcome.code == 2
    assert "nope.tflite" in outcome.err
