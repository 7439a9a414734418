# SPDX-License-Identifier: Apache-2.0
"""Whole runs in virtual time: nothing is lost or counted twice, and the simulator would tell."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.data.image import HEADER_BYTES
from fleetgrad.errors import ToolError
from fleetgrad.federation.actions import Action, Record, SendReceipt
from fleetgrad.run import conductor
from fleetgrad.run.recorder import Recorder, Traffic
from fleetgrad.simulator import Campaign, Faults, Violation, draw
from fleetgrad.simulator import host as hosts
from fleetgrad.toolchain import build_image, find_compiler
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer

SEEDS = 48
KILLS = Faults(kill=0.3)


@pytest.fixture(scope="module")
def campaign(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Devices that train one layer, 64 to 10."""
    try:
        find_compiler("host")
    except ToolError as error:
        pytest.skip(f"no C compiler for this machine: {error.what}")
    folder = tmp_path_factory.mktemp("simulated")
    model = (checkout / "tools" / "bench" / "head_64x10.tflite").read_bytes()
    made = generate(model, "head", scheme=LastLayer(), loss=Loss.SOFTMAX_CROSS_ENTROPY, batch=1)
    made.write(folder / "bundle")
    board = load_board(paths.boards(), "native")
    return Campaign(
        folder / "bundle", build_image(folder / "bundle", board, "library", folder).path
    )


@pytest.mark.parametrize("block", range(4))
def test_runs_with_faults_lose_nothing_and_count_nothing_twice(
    campaign: Campaign, block: int
) -> None:
    outcomes = [campaign.run(block * 1000 + seed) for seed in range(SEEDS // 4)]
    assert sum(one.rounds for one in outcomes) == 11 * len(outcomes)
    assert sum(one.resets for one in outcomes) > 0


def test_the_seeds_bring_every_kind_of_fault() -> None:
    drawn = [draw(random.Random(seed)) for seed in range(SEEDS)]
    for name in Faults.__dataclass_fields__:
        assert any(getattr(one, name) for one in drawn), f"{name} never happens"


def test_a_seed_is_the_same_run_again_and_again(campaign: Campaign) -> None:
    stories: list[list[tuple[float, str]]] = [[], []]
    outcomes = [
        campaign.run(5, trace=lambda now, text, story=story: story.append((now, text)))
        for story in stories
    ]
    assert stories[0] == stories[1]
    assert outcomes[0] == outcomes[1]
    assert len(stories[0]) > 20


def test_hosts_are_killed_at_every_boundary(campaign: Campaign) -> None:
    told: list[str] = []
    for seed in range(6):
        campaign.run(seed, KILLS, lambda _, text: told.append(text))
    for moment in ("before a commit", "after a commit", "with the first bytes", "while it waits"):
        assert any(moment in line for line in told), moment


# --- It would tell -------------------------------------------------------------------------------


def test_an_update_that_is_told_but_not_kept_is_found(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Recorder.commit

    def forgetful(
        self: Recorder, actions: Sequence[Action], seconds: float, traffic: Traffic
    ) -> None:
        kept = [a for a in actions if not (isinstance(a, Record) and a.round == 3)]
        commit(self, kept, seconds, traffic)

    monkeypatch.setattr(Recorder, "commit", forgetful)
    with pytest.raises(Violation, match="receipt for an update that is not in the ledger: round 3"):
        campaign.run(0, Faults())


def test_receipts_before_their_commit_are_found(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = conductor.Conductor._carry_out

    def hasty(self: conductor.Conductor, actions: Sequence[Action]) -> object:
        receipts = [a for a in actions if isinstance(a, SendReceipt)]
        for action in receipts:
            self._instruct(action)
        if receipts:
            self._talk()
        return carry_out(self, [a for a in actions if a not in receipts])

    monkeypatch.setattr(conductor.Conductor, "_carry_out", hasty)
    with pytest.raises(Violation, match="not in the ledger"):
        campaign.run(0, Faults())


def test_an_update_that_is_not_what_the_device_makes_is_found(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Liar(hosts.Device):
        """Learns from other samples than it was given."""

        def __init__(self, world: Any, library: Any, image: bytes, *others: Any) -> None:
            bent = bytearray(image)
            bent[HEADER_BYTES] ^= 1
            bent[48:52] = zlib.crc32(bent[HEADER_BYTES:]).to_bytes(4, "little")
            bent[60:64] = zlib.crc32(bent[:60]).to_bytes(4, "little")
            super().__init__(world, library, bytes(bent), *others)

    monkeypatch.setattr(hosts, "Device", Liar)
    with pytest.raises(Violation, match="not the update that its device makes"):
        campaign.run(0, Faults())
