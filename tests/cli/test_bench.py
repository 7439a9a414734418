# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from support.outcome import Run


@pytest.mark.emulated
def test_kernels_compares_every_backend_and_counts(
    fleetgrad: Run, checkout: Path, emulator: None
) -> None:
    models = checkout / "examples" / "digits"
    document = fleetgrad("bench", "kernels", "--models", models, "--random", 4, "--json").json
    (row,) = document["models"]
    assert row["mismatches"] == {"reference": 0, "native": 0, "mps2_an386": 0}
    assert row["values"] == 40
    trainings = {row["name"]: row for row in document["trainings"]}
    assert trainings["head 64-10"]["most"] <= 12_000
    mlp = trainings["MLP 64-32-10"]
    assert mlp["mean"] <= 40_000
    assert mlp["ram_bytes"] <= 8 * 1024
    for row in trainings.values():
        if "skipped" in row:
            assert "FLEETGRAD_DATA" in row["skipped"]
        elif row["name"].startswith("mcunet"):
            assert row["mean"] <= 2.0 * row["macs"]
            assert row["arena_bytes"] <= 1.05 * row["lower_bound_bytes"]


def test_kernels_names_the_models_that_it_refuses(
    fleetgrad: Run, tmp_path: Path, emulator: None
) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"broken")
    document = fleetgrad("bench", "kernels", "--models", tmp_path, "--json").json
    assert document["models"] == []
    assert document["refused"][0]["name"] == "broken"


def test_folder_without_models_is_invalid(fleetgrad: Run, tmp_path: Path) -> None:
    outcome = fleetgrad("bench", "memory", "--models", tmp_path)
    assert outcome.code == 2
    assert str(tmp_path) in outcome.err


def test_accuracy_holds_integers_against_float32(fleetgrad: Run) -> None:
    options = ["--rate", "0.05", "--seed", "1", "--set", "rounds.count=4"]
    document = fleetgrad("bench", "accuracy", "--json", *options).json
    (cell,) = document["cells"]
    assert cell["integer"] > cell["before"]
    assert abs(document["gap"]) < 0.05


@pytest.mark.emulated
def test_memory_meets_the_firmwares_budget(fleetgrad: Run, checkout: Path, emulator: None) -> None:
    models = checkout / "examples" / "digits"
    document = fleetgrad("bench", "memory", "--models", models, "--json").json
    for plan in document["plans"]:
        assert plan["arena_bytes"] >= plan["lower_bound_bytes"] > 0
    assert 1.0 <= document["most_over_bound"] <= 1.05
    assert document["firmware"]["text_bytes"] <= 24 * 1024
    assert document["firmware"]["ram_bytes"] <= 16 * 1024


@pytest.mark.emulated
def test_inference_takes_less_memory_than_tflite_micro(
    fleetgrad: Run, shared_data: Path, tmp_path: Path, emulator: None
) -> None:
    for name in ("mlperf_kws_ref_model", "mlperf_ad01_int8"):
        (tmp_path / f"{name}.tflite").symlink_to(shared_data / "models" / f"{name}.tflite")
    document = fleetgrad("bench", "memory", "--models", tmp_path, "--json").json
    assert len(document["inference"]) == 2
    for row in document["inference"]:
        assert 0 < row["arena_bytes"] <= 0.95 * row["peer_arena_bytes"]
        assert 0 < row["text_bytes"] <= 0.5 * row["peer_text_bytes"]


def test_links_lose_nothing_and_a_blob_costs_what_it_may(fleetgrad: Run) -> None:
    options = ["--frames", 100_000, "--blobs", 1, "--seeds", 4, "--jobs", 1]
    document = fleetgrad("bench", "links", *options, "--json").json
    rates = {row["rate"]: row for row in document["frames"]}
    assert set(rates) == {1e-6, 1e-5, 1e-4, 1e-3}
    for rate, row in rates.items():
        assert row["corrupt"] == 0
        assert row["delivered"] <= row["frames"] - row["damaged"]
        assert row["damaged"] > 0 or rate < 1e-5
    assert sum(row["frames"] for row in rates.values()) >= 100_000
    for row in document["blobs"]:
        assert row["quiet"] <= 1.12
        assert max(row["ratios"]) <= 2.5
    assert document["violations"] == []
    assert document["runs"]["rounds"] == 44


def test_links_tells_one_seed_in_full(fleetgrad: Run) -> None:
    outcome = fleetgrad("bench", "links", "--seed", 3, "--trace")
    assert outcome.code == 0
    assert "host: life 1" in outcome.err
    assert "digest" in outcome.out


def test_robust_rules_hold_where_averaging_does_not(fleetgrad: Run) -> None:
    options = ["--only", "digits", "--seeds", "1", "--rounds", "3"]
    names = ["--rule", "fedavg", "--rule", "sign-guard", "--attack", "none", "--attack", "ipm-10"]
    document = fleetgrad("bench", "robust", "--json", *options, *names).json
    found = {(cell["rule"], cell["attack"]): cell["accuracy"] for cell in document["cells"]}
    assert len(found) == 4
    assert found["fedavg", "ipm-10"] < 0.3
    assert found["sign-guard", "ipm-10"] > found["fedavg", "none"] - 0.05 > 0.75
    assert document["best"] == {}  # not all attacks that the target is about were measured


def test_robust_without_its_data_set_is_invalid(fleetgrad: Run, tmp_path: Path) -> None:
    outcome = fleetgrad("bench", "robust", "--only", "hapt", "--data", tmp_path)
    assert outcome.code == 2
    assert "uci_hapt_windows.npz" in outcome.err
