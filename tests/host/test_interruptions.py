# SPDX-License-Identifier: Apache-2.0
"""Runs that are stopped within the process, and what the next one does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetgrad.fleet import Endpoint, Placement
from fleetgrad.results import RunResult
from fleetgrad.run import execute
from fleetgrad.store import Store
from support.federation import (
    ModelFleet,
    manifest,
    project,
    write_data,
)
from support.runs import IMPATIENT, Diary, StopError, events, expected, run, stopping


class Stubborn(ModelFleet):
    """Devices that outlive the host, as boards do."""

    def __init__(self) -> None:
        # One after the other, so that every update is a commit of its own.
        super().__init__(bend=lambda traits: replace(traits, work_ms=20 * traits.device))
        self._kept: dict[int, Any] = {}

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        endpoints = super().start(placements, directory)
        self.models.update(self._kept)
        self._kept = self.models
        return endpoints


@pytest.mark.parametrize("after", [False, True])
def test_boards_that_outlive_the_host_lose_and_double_nothing(tmp_path: Path, after: bool) -> None:
    config = project(tmp_path)
    fleet = Stubborn()
    at, stops = 1, 0
    while True:
        try:
            result = run(config, fleet, stopping(at, after=after))
            break
        except StopError:
            stops += 1
            at = 2 if at > 4 else at + 1
    assert stops >= 3
    assert fleet.stopped >= stops - 1, "every start but those before the fleet's was stopped"
    assert result.model_digest == expected(config)
    assert [r.accepted for r in result.rounds] == [(1, 2, 3, 4)] * 3


def test_interrupt_stops_the_fleet_and_keeps_the_run(tmp_path: Path) -> None:
    class Impatient(Diary):
        def update_accepted(self, number: int, device: int) -> None:
            if number == 2:
                raise KeyboardInterrupt

    config = project(tmp_path)
    fleet = ModelFleet()
    with pytest.raises(KeyboardInterrupt):
        run(config, fleet, diary=Impatient())
    assert fleet.stopped == 1
    result = run(config)
    assert result.resumed
    assert result.model_digest == expected(config)


def test_changed_config_begins_a_run_of_its_own(tmp_path: Path) -> None:
    config = project(tmp_path)
    with pytest.raises(StopError):
        run(config, services=stopping(4, after=True))
    diary = Diary()
    other = run(project(tmp_path, "train.seed=9"), diary=diary)
    assert not other.resumed
    (warning,) = diary.notices
    assert "is unfinished and does not go on: train.seed = 9, not 0" in warning
    assert ("warning", None) in events(config, other.run_id)
    assert run(config).resumed


def test_changed_data_begin_a_run_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        run(project(tmp_path), services=stopping(4, after=True))
    write_data(tmp_path / "data.npz", samples=11)
    diary = Diary()
    assert not run(project(tmp_path), diary=diary).resumed
    assert "the model or the data are other ones" in diary.notices[0]


def test_start_from_a_current_version_that_is_not_there_is_told(tmp_path: Path) -> None:
    diary = Diary()
    run(project(tmp_path, "run.start=current"), diary=diary)
    assert diary.notices == [], "an empty store has nothing else to start from"
    config = project(tmp_path, "run.start=current")
    tree = manifest(digest=bytes(range(1, 33)).hex())
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(tree))
    model = ModelFleet(bend=lambda traits: replace(traits, model_digest=bytes(range(1, 9))))
    run(config, model, diary=diary)
    assert "starts from the factory" in diary.notices[0]


def test_run_whose_result_was_not_delivered_is_delivered_again(tmp_path: Path) -> None:
    def broken(_: RunResult) -> None:
        raise StopError

    config = project(tmp_path, "run.start=current")
    bundle = tmp_path / "bundle"
    with pytest.raises(StopError):
        execute(config, bundle, ModelFleet(), services=IMPATIENT, deliver=broken)
    delivered: list[RunResult] = []
    execute(config, bundle, ModelFleet(), services=IMPATIENT, deliver=delivered.append)
    with Store(config.run.dir, writing=False) as store:
        (row,) = store.ledger.runs()
    assert [result.run_id for result in delivered] == [row.run_id]
    assert delivered[0].resumed
