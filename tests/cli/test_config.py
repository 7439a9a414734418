# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fleetgrad.config import Config
from support.outcome import Run

MINIMAL = '[model]\npath = "m.tflite"\n[data]\npath = "d.npz"\n'


def test_shows_every_default_where_there_is_no_file(
    fleetgrad: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = fleetgrad("config", "show")
    assert outcome.code == 0
    assert tomllib.loads(outcome.out) == Config().to_dict()
    assert "these are the defaults" in outcome.err


def test_finds_the_file_above_and_applies_overrides(
    fleetgrad: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fleetgrad.toml").write_text(MINIMAL)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    document = fleetgrad("config", "show", "--json", "--set", "rounds.count=7").json
    assert document["path"] == str(tmp_path / "fleetgrad.toml")
    assert document["config"]["rounds"]["count"] == 7
    assert document["config"]["model"]["path"] == str(tmp_path / "m.tflite")


def test_typo_names_the_nearest_key(fleetgrad: Run, tmp_path: Path) -> None:
    file = tmp_path / "fleetgrad.toml"
    file.write_text(MINIMAL + "[train]\nlerning_rate = 0.1\n")
    outcome = fleetgrad("config", "show", "--config", file)
    assert outcome.code == 2
    assert "did you mean train.learning_rate?" in outcome.err
    assert outcome.out == ""
