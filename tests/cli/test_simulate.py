# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad simulate`, and runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.fleets import HEAD
from support.outcome import Run

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits" / "fleetgrad.toml"


@pytest.fixture
def drawn(tmp_path: Path) -> list[str]:
    """Options for a fleet whose samples are drawn."""
    file = tmp_path / "fleetgrad.toml"
    file.write_text(
        f'[model]\npath = "{HEAD}"\n[train]\nlearning_rate = 0.01\n[rounds]\ncount = 3\n'
        '[simulate]\ndata = "drawn"\nsamples = 8\n'
    )
    return ["--config", str(file)]


def simulate(fleetgrad: Run, options: list[str], *more: object) -> dict[str, Any]:
    outcome = fleetgrad("simulate", "--json", *options, *more)
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_drawn_fleet_learns_and_leaves_its_files(fleetgrad: Run, drawn: list[str]) -> None:
    document = simulate(fleetgrad, drawn, "--devices", 2000, "--workers", 2)
    assert document["accuracy_after"] > document["accuracy_before"] + 0.02
    assert [one["round"] for one in document["rounds"]] == [1, 2, 3]
    assert {one["accepted"] for one in document["rounds"]} == {2000}
    assert document["device_rounds"] == 6000
    assert document["device_rounds_per_second"] > 0
    assert document["peak_rss_bytes"] > 10_000_000
    assert document["rounds"][0]["seconds"] is None  # no clock
    folder = Path(document["folder"])
    kept = json.loads((folder / "result.json").read_text())
    assert {**kept, "folder": str(folder)} == document
    assert "<svg" in (folder / "report.html").read_text()
    assert (folder / "learned.tflite").read_bytes()[4:8] == b"TFL3"
    cut = simulate(fleetgrad, drawn, "--devices", 2000, "--shards", 5, "--workers", 1)
    assert cut["model_digest"] == document["model_digest"]
    other = simulate(fleetgrad, drawn, "--devices", 2000, "--seed", 9)
    assert other["model_digest"] != document["model_digest"]
    assert other["run_id"] != document["run_id"]


def test_clock_tells_seconds_joules_and_who_was_left_out(
    fleetgrad: Run, drawn: list[str], tmp_path: Path
) -> None:
    settings = (
        "simulate.clock=true", "rounds.fraction=0.02", "simulate.deadline_s=5",
        "simulate.battery_j=50", 'simulate.boards=["mps2_an386:3", "microbit:1:16:0.8"]',
    )  # fmt: skip
    options = [*drawn, *(word for text in settings for word in ("--set", text))]
    document = simulate(fleetgrad, options, "--devices", 4000)
    for one in document["rounds"]:
        assert one["selected"] == 104
        assert one["accepted"] + sum(one["dropped"].values()) == 104
        assert 0 < one["seconds"] <= 5
        assert one["joules"] > 0
    thrifty = simulate(
        fleetgrad, [*options, "--set", "simulate.selection=thrifty"], "--devices", 4000
    )
    compared = fleetgrad(
        "log", "--json", "--compare", document["run_id"], Path(thrifty["folder"]) / "result.json",
        *drawn,
    ).json  # fmt: skip
    assert compared["run"] == [document["run_id"], thrifty["run_id"]]
    assert compared["rounds"] == [3, 3]
    assert compared["joules"][0] == pytest.approx(sum(r["joules"] for r in document["rounds"]))
    assert compared["rounds_to_it"][0] <= 3
    shown = fleetgrad("log", "--compare", document["run_id"], thrifty["run_id"], *drawn)
    assert "common accuracy" in shown.out


def test_split_data_set_is_dealt_where_users_do_not_suffice(fleetgrad: Run, tmp_path: Path) -> None:
    options = ["--config", str(DIGITS), "--set", f"run.dir={tmp_path}", "--rounds", "1"]
    few = fleetgrad("simulate", *options)
    assert few.code == 0
    assert "split by user, 8 of 8" in few.err
    many = fleetgrad("simulate", "--json", *options, "--devices", "300")
    assert many.code == 0
    assert "Dirichlet(0.5)" in many.err
    assert many.json["rounds"][0]["accepted"] == 300


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('simulate.boards=["mps2_an386:0"]', "is no kind of board"),
        ('simulate.boards=["mps2_an386:1:fast"]', "is no kind of board"),
        ('simulate.boards=["abacus"]', "abacus"),
        ("simulate.awake=0.9", "simulate.awake"),
        ("simulate.data=user", "data.path"),
        ("simulate.selection=best", "one of uniform, thrifty"),
        ("selection.name=by-data", "selection.name"),
    ],
)
def test_invalid_settings_are_named(
    fleetgrad: Run, drawn: list[str], setting: str, words: str
) -> None:
    outcome = fleetgrad(
        "simulate", *drawn, "--devices", 10, "--set", "simulate.clock=true", "--set", setting
    )
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.out == ""


def test_board_that_cannot_hold_the_plan_is_left_out_and_said_to_be(
    fleetgrad: Run, tmp_path: Path
) -> None:
    options = [
        "--config", str(DIGITS), "--set", f"run.dir={tmp_path}", "--set", "simulate.clock=true",
        "--set", "simulate.awake=0.5", "--rounds", 1, "--devices", 200, "--set",
        "rounds.fraction=0.1", "--scheme", "full", "--set", "train.learning_rate=0.003",
    ]  # fmt: skip
    both = 'simulate.boards=["mps2_an386:1", "microbit:1"]'
    outcome = fleetgrad("simulate", *options, "--set", both)
    assert outcome.code == 0, outcome.err
    assert "microbit is left out" in outcome.err
    alone = fleetgrad("simulate", *options, "--set", 'simulate.boards=["microbit"]')
    assert alone.code == 2
    assert "no board of the fleet holds the plan" in alone.err


def test_comparison_of_nothing_is_refused(fleetgrad: Run, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[1]")
    outcome = fleetgrad("log", "--compare", "other.json", "other.json", "--dir", tmp_path)
    assert outcome.code == 2
    assert "holds no run's result" in outcome.err
