# SPDX-License-Identifier: Apache-2.0
"""The search on MLPerf Tiny's keyword model, which is to learn three new words."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from fleetgrad.cli import main


@pytest.mark.slow
def test_ds_cnn_predictions_rank_schemes_as_trials_do(
    shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = shared_data / "models" / "mlperf_kws_ref_model.tflite"
    data = shared_data / "datasets" / "speech_commands_3words_mfcc.npz"
    if not data.exists():
        pytest.skip("no speech_commands_3words_mfcc.npz")
    found = tmp_path / "found.toml"
    options = ["scheme.classes=3", "train.learning_rate=0.005", "search.samples=400",
               "search.heldout=300", "search.seeds=1"]  # fmt: skip
    arguments = ["plan", str(model), "--scheme", "auto", "--data", str(data), "--ram", "64K",
                 "-o", str(found), "--json"]  # fmt: skip
    for option in options:
        arguments += ["--set", option]
    capfd.readouterr()
    assert main(arguments) == 0
    document = json.loads(capfd.readouterr().out)
    search = document["search"]
    assert search["rank_correlation"] > 0.8
    by_label = {one["label"]: one["measured"]["gain"] for one in search["candidates"]}
    chosen = search["chosen"]
    assert chosen["ram_bytes"] <= 64 * 1024
    assert chosen["measured"]["gain"] > by_label["last-layer"] + 0.3
    assert chosen["measured"]["gain"] > by_label["bias"] + 0.1
    assert chosen["predicted"]["gain"] == pytest.approx(chosen["measured"]["gain"], abs=0.5)
    assert tomllib.loads(found.read_text())["search"]["ram_bytes"] == chosen["ram_bytes"]
