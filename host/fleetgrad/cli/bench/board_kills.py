# SPDX-License-Identifier: Apache-2.0
"""Boards are killed in the middle of rounds: is an update lost, or counted twice?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fleetgrad import config as configs
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.errors import FleetgradError
from fleetgrad.fleet import NativeFleet
from fleetgrad.run import execute
from fleetgrad.store import Store
from fleetgrad.toolchain import build_image

from ..bundles import make_bundle
from .restless import STAGES, Judge, RestlessFleet
from .tally import Tally

BOARD_KILLS: Final = 200
DEVICES: Final = 4
ROUNDS: Final = 6


def kill_boards(
    folder: Path, wanted: int, seed: int, advance: Callable[[int], None], rounds: int = ROUNDS
) -> Tally:
    """Kills native boards while they train the digits model, until there were enough kills.

    Args:
        folder: For everything.
        wanted: Kills, at least.
        seed: Of stages and moments.
        advance: Is told how many there were.
        rounds: Of one run.

    Raises:
        FleetgradError: A run fails: with patience, none has a reason to.
    """
    board = load_board(paths.boards(), "native")
    bundle = folder / "bundle"
    make_bundle(_config(folder / "none", rounds), board).write(bundle)
    node = build_image(bundle, board, "node", folder / "node").path
    undisturbed = execute(_config(folder / "undisturbed", rounds), bundle, NativeFleet(node))
    judge, tally = Judge(seed, wanted, advance), Tally("board")
    while not judge.satisfied:
        config = _config(folder / f"run{tally.runs}", rounds)
        before = judge.kills
        fleet = RestlessFleet(node, judge)
        result = execute(config, bundle, fleet)
        if fleet.error is not None:
            raise fleet.error
        counted = _updates(config.run.dir)
        due = DEVICES * (rounds + 1)
        tally.lost += due - len(counted)
        tally.double += counted.total() - len(counted)
        tally.other += result.model_digest != undisturbed.model_digest
        tally.runs += 1
        if judge.kills == before:
            raise FleetgradError("a run of the bench killed no board", where=str(config.run.dir))
    tally.kills = judge.kills
    tally.by_moment = {stage: judge.by_stage[stage] for stage in STAGES}
    return tally


def _config(directory: Path, rounds: int) -> Config:
    example = paths.home() / "examples" / "digits" / "fleetgrad.toml"
    overrides = (
        f"run.dir={directory}",
        f"rounds.count={rounds}",
        f"rounds.min_updates={DEVICES}",
        "rounds.retries=100",
        f"fleet.devices={DEVICES}",
        "data.limit=24",
        "train.epochs=1",
    )
    return configs.load(example, overrides)


def _updates(directory: Path) -> Counter[tuple[int, int]]:
    """How often the ledger counts each device's update of each round."""
    with Store(directory, writing=False) as store:
        return Counter(
            (update.round, update.device)
            for run in store.ledger.runs()
            for update in store.ledger.updates(run.run_id)
        )
