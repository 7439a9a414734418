# SPDX-License-Identifier: Apache-2.0
"""Who is asked: repeatable, by what it says it goes by, and each device in its turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.errors import ConfigError
from fleetgrad.federation.selections import (
    SELECTIONS,
    ByData,
    Candidate,
    Draw,
    PowerOfChoice,
    Selection,
    Uniform,
    make_selection,
)
from fleetgrad.store import Store
from support.fedavg_oracle import select
from support.federation import project, write_data
from support.runs import StopError, run, stopping

KINDS = [kind() for kind in SELECTIONS.values()]


def fleet(count: int, samples: int = 10) -> list[Candidate]:
    return [Candidate(device, samples) for device in range(1, count + 1)]


def counts(
    selection: Selection, candidates: list[Candidate], share: int, rounds: int
) -> np.ndarray:
    found = np.zeros(len(candidates) + 1, int)
    for number in range(1, rounds + 1):
        found[list(selection.choose(candidates, share, Draw(0, number)))] += 1
    return found[1:]


@settings(deadline=None)
@given(
    st.sets(st.integers(1, 10**6), min_size=1, max_size=40),
    st.integers(1, 100),
    st.integers(1, 45),
    st.integers(0, 8),
    st.sampled_from(KINDS),
)
def test_choice_is_repeatable_and_as_large_as_it_can_be(
    devices: set[int], number: int, count: int, every: int, kind: Selection
) -> None:
    selection = type(kind)(every=every)
    candidates = [Candidate(d, 1 + d % 7, d % 5 or None) for d in devices]
    chosen = selection.choose(candidates, count, Draw(3, number))
    assert selection.choose(candidates[::-1], count, Draw(3, number)) == chosen
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) <= devices
    assert len(chosen) >= min(count, len(devices))
    if not every:
        assert len(chosen) == min(count, len(devices))


@settings(deadline=None)
@given(st.sets(st.integers(1, 10**6), min_size=1, max_size=40), st.integers(1, 100))
def test_uniform_is_its_definition(devices: set[int], number: int) -> None:
    wanted = select(devices, number, seed=3, fraction=0.4, least=2)
    candidates = [Candidate(device, 5) for device in devices]
    assert Uniform().choose(candidates, len(wanted), Draw(3, number)) == wanted


def test_uniform_reaches_everybody_about_equally() -> None:
    found = counts(Uniform(), fleet(20), 5, 400)
    assert found.sum() == 400 * 5
    assert found.min() > 70
    assert found.max() < 130


def test_by_data_draws_without_replacement_by_samples() -> None:
    """One of 1, 2, 3 and 4 samples: the first is 1/10 ... 4/10 of the time each."""
    candidates = [Candidate(device, device) for device in range(1, 5)]
    found = counts(ByData(), candidates, 1, 4000) / 4000
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.4], atol=0.025)


def test_power_of_choice_asks_the_worst_of_some() -> None:
    candidates = [Candidate(device, 10, loss=device) for device in range(1, 21)]
    everybody = PowerOfChoice(pool=1000.0).choose(candidates, 3, Draw(0, 1))
    assert everybody == (18, 19, 20)
    drawn = ByData().choose(candidates, 6, Draw(0, 1))
    assert PowerOfChoice(pool=2.0).choose(candidates, 3, Draw(0, 1)) == drawn[-3:]
    assert PowerOfChoice(pool=1.0).choose(candidates, 3, Draw(0, 1)) == ByData().choose(
        candidates, 3, Draw(0, 1)
    )


def test_power_of_choice_asks_first_who_has_never_been_heard() -> None:
    candidates = [Candidate(1, 10, 9000), Candidate(2, 10), Candidate(3, 10, 0)]
    assert PowerOfChoice(pool=10.0).choose(candidates, 1, Draw(0, 1)) == (2,)


@pytest.mark.parametrize("every", [1, 4, 9])
def test_nobody_waits_longer_than_promised(every: int) -> None:
    candidates = [
        Candidate(d, 1000 if d == 1 else 1, loss=9 if d == 1 else 1) for d in range(1, 31)
    ]
    seen = dict.fromkeys(range(1, 31), 0)
    for number in range(1, 61):
        for device in PowerOfChoice(every=every).choose(candidates, 2, Draw(5, number)):
            assert number - seen[device] <= every
            seen[device] = number
    assert min(seen.values()) > 60 - every


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("unifrom", {}, "one of uniform"),
        ("uniform", {"pool": 2.0}, "pool"),
        ("power-of-choice", {"pool": 0.5}, "1 to 1000"),
        ("by-data", {"every": -1}, "0 to 65534"),
    ],
)
def test_bad_names_and_options_are_refused(
    name: str, options: dict[str, float], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_selection(name, options)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", SELECTIONS)
def test_run_that_is_killed_asks_whom_it_would_have_asked(tmp_path: Path, name: str) -> None:
    def begin(place: str) -> list[tuple[int, ...]]:
        write_data(tmp_path / "data.npz", users=8)
        sections = {
            "selection": {"name": name, "every": 3},
            "rounds": {"count": 5, "timeout_s": 20.0, "fraction": 0.3},
        }
        config = project(tmp_path, f"run.dir={place}", **sections)
        at = 0
        while True:
            try:
                at += 9
                services = {"services": stopping(at, after=True)} if place == "killed" else {}
                result = run(config, **services)
                break
            except StopError:
                continue
        with Store(config.run.dir, writing=False) as store:
            rounds = store.ledger.rounds(result.run_id)
            assert result.resumed == (place == "killed")
            return [row.selected for row in rounds]

    assert begin("killed") == begin("whole")
