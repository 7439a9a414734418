# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad plan --scheme auto`, from proxy data to a scheme file that trains."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.scheme import read_scheme
from support.outcome import Run

SMALL = [f"search.{key}={value}" for key, value in (("samples", 60), ("heldout", 60), ("seeds", 1))]


@pytest.fixture
def digits(checkout: Path) -> list[str]:
    folder = checkout / "examples" / "digits"
    options = [str(folder / "digits.tflite"), "--config", str(folder / "fleetgrad.toml")]
    for setting in (*SMALL, "train.epochs=1", "train.learning_rate=0.01"):
        options += ["--set", setting]
    return options


def test_finds_a_scheme_within_limits_that_then_trains(
    fleetgrad: Run, digits: list[str], tmp_path: Path
) -> None:
    found, page = tmp_path / "found.toml", tmp_path / "report.html"
    options = ["--scheme", "auto", "--ram", "16K", "-o", found, "--html", page, "--json"]
    outcome = fleetgrad("plan", *digits, *options)
    assert outcome.code == 0, outcome.err
    document = outcome.json
    assert document["scheme"] == "auto"
    assert document["fits"] is True
    assert document["ram_bytes"] <= 16 * 1024
    search = document["search"]
    chosen = search["chosen"]
    assert chosen["ram_bytes"] == document["ram_bytes"]
    assert chosen["measured"]["gain"] > 0
    assert {"last-layer", "bias", "sparse", "full"} <= {
        label for candidate in search["candidates"] for label in candidate["label"].split(", ")
    }
    fitting = [c for c in search["candidates"] if c["fits"]]
    assert chosen["measured"]["gain"] == max(c["measured"]["gain"] for c in fitting)
    assert found.read_text() == document["scheme_file"]
    assert page.read_text().count("<svg") == 1
    assert "found.toml" not in page.read_text()
    tree = tomllib.loads(found.read_text())
    assert tree["search"]["max_ram_bytes"] == 16 * 1024
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.toml", "report.html"]
    trained = fleetgrad("train", *digits, "--user", "3", "--scheme", found, "--json")
    assert trained.code == 0, trained.err
    assert trained.json["accuracy_after"] > trained.json["accuracy_before"]
    planned = fleetgrad("plan", *digits, "--scheme", found, "--json").json
    assert planned["ram_bytes"] == document["ram_bytes"]
    assert planned["flash_bytes"] == document["flash_bytes"]


def test_the_same_seed_gives_the_same_file(
    fleetgrad: Run, digits: list[str], tmp_path: Path
) -> None:
    texts = []
    for name in ("one.toml", "two.toml"):
        fleetgrad("plan", *digits, "--scheme", "auto", "--ram", "12K", "-o", tmp_path / name)
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]
    assert read_scheme(texts[0].decode(), "one.toml").file_layers


def test_nothing_fits(fleetgrad: Run, digits: list[str], tmp_path: Path) -> None:
    out = tmp_path / "none.toml"
    for limit in (["--ram", "1K"], ["--flash", "100"], ["--instructions", "1000"]):
        outcome = fleetgrad("plan", *digits, "--scheme", "auto", *limit, "-o", out)
        assert outcome.code == 1
        assert "the smallest one" in outcome.err
        assert "larger limits" in outcome.err
        assert not out.exists()


def proxy(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(path, x=x, y=y)
    return path


def samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(0, 1, (count, 8, 8)).astype(np.float32), np.arange(count) % 10


def test_data_that_tells_nothing_is_refused_by_name(
    fleetgrad: Run, digits: list[str], tmp_path: Path
) -> None:
    x, y = samples(100)
    bad = x.copy()
    bad[7] = np.nan
    cases = (
        (proxy(tmp_path / "nan.npz", bad, y), "NaN"),
        (proxy(tmp_path / "constant.npz", np.full_like(x, 0.5), y), "are the same"),
        (proxy(tmp_path / "few.npz", x[:30], y[:30]), "at least 16"),
        (proxy(tmp_path / "labels.npz", x, y + 3), "labels are out of range"),
        (proxy(tmp_path / "single.npz", x, np.zeros_like(y)), "of class 0"),
        (tmp_path / "nowhere.npz", "--data PROXY.npz"),
    )
    for path, words in cases:
        outcome = fleetgrad("plan", *digits, "--scheme", "auto", "--data", path)
        assert outcome.code == 2, path
        assert words in outcome.err, outcome.err
        assert path.name in outcome.err


def test_auto_is_a_search_for_plan_alone(fleetgrad: Run, digits: list[str]) -> None:
    for arguments in (
        ["train", *digits, "--scheme", "auto"],
        ["train", *digits, "--set", "scheme.name=auto"],
    ):
        outcome = fleetgrad(*arguments)
        assert outcome.code == 2
        assert "fleetgrad plan --scheme auto -o FILE.toml" in outcome.err


def test_limits_without_a_search_are_refused(fleetgrad: Run, digits: list[str]) -> None:
    outcome = fleetgrad("plan", *digits, "--ram", "64K")
    assert outcome.code == 2
    assert "--scheme auto" in outcome.err
    outcome = fleetgrad("plan", *digits, "--scheme", "auto", "--ram", "64Q")
    assert outcome.code == 2
    assert "64K" in outcome.err


def test_the_output_never_replaces_an_input(
    fleetgrad: Run, digits: list[str], tmp_path: Path
) -> None:
    x, y = samples(100)
    data = proxy(tmp_path / "proxy.npz", x, y)
    outcome = fleetgrad("plan", *digits, "--scheme", "auto", "--data", data, "-o", data)
    assert outcome.code == 2
    assert np.load(data)["x"].shape == x.shape


def test_costs_are_those_of_the_configured_plan(
    fleetgrad: Run, digits: list[str], tmp_path: Path
) -> None:
    found = tmp_path / "found.toml"
    options = [*digits, "--set", "scheme.page=true", "--set", "scheme.recompute=true", "--json"]
    document = fleetgrad("plan", *options, "--scheme", "auto", "--ram", "12K", "-o", found).json
    planned = fleetgrad("plan", *options, "--scheme", found).json
    for key in ("ram_bytes", "arena_bytes", "flash_bytes", "backward_macs"):
        assert planned[key] == document[key]
    assert document["search"]["chosen"]["ram_bytes"] == document["ram_bytes"] <= 12 * 1024
