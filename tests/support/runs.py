# SPDX-License-Identifier: Apache-2.0
"""Whole runs over model devices, with an impatient host, and what their end must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleetgrad.config import Config, learning_rate
from fleetgrad.device import Patience
from fleetgrad.results import RoundReport, RunResult, RunStarted
from fleetgrad.run import Services, execute
from fleetgrad.store import Ledger, Store
from fleetgrad.wire.messages import RoundOpen
from support.device_model import Traits
from support.fedavg_oracle import final_digest
from support.federation import DIGEST, SEGMENTS, ModelFleet

IMPATIENT = Services(patience=Patience(listen=0.01, answer=0.05, silence=0.1, gone=0.4))


class Diary:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ready: list[int] = []
        self.opened: list[tuple[int, bool]] = []
        self.accepted: list[tuple[int, int]] = []
        self.closed: list[RoundReport] = []
        self.notices: list[str] = []

    def run_started(self, started: RunStarted) -> None:
        self.started = started

    def device_ready(self, device: int, ready: int, total: int) -> None:
        self.ready.append(device)

    def round_opened(self, number: int, selected: Sequence[int], evaluation_only: bool) -> None:
        self.opened.append((number, evaluation_only))

    def update_accepted(self, number: int, device: int) -> None:
        self.accepted.append((number, device))

    def round_closed(self, report: RoundReport) -> None:
        self.closed.append(report)

    def notice(self, text: str) -> None:
        self.notices.append(text)


def run(
    config: Config, fleet: Any = None, services: Services = IMPATIENT, diary: Any = None
) -> RunResult:
    bundle = config.data.path.parent / "bundle"
    return execute(config, bundle, fleet or ModelFleet(), diary, services)


def expected(config: Config) -> str:
    """What the definition gives for four devices that all take part."""
    terms = RoundOpen(
        0, DIGEST[:8], 0, 0, 0, config.train.seed, *lr(config), config.train.epochs,
        config.train.batch, 0, 0,
    )  # fmt: skip
    traits = {d: Traits(d, DIGEST[:8], SEGMENTS, 9, 3) for d in (1, 2, 3, 4)}
    initial = (config.data.path.parent / "bundle" / "params.bin").read_bytes()
    return final_digest(DIGEST, initial, traits, [[1, 2, 3, 4]] * config.rounds.count, terms)


def lr(config: Config) -> tuple[int, int]:
    return learning_rate(config.train.learning_rate)


def events(config: Config, run_id: str) -> list[tuple[str, int | None]]:
    with Store(config.run.dir, writing=False) as store:
        return [(e.kind, e.device) for e in store.ledger.events(run_id)]


class StopError(Exception):
    """The host stops here."""


def stopping(at: int, *, after: bool) -> Services:
    """Services whose ledger stops the host at its n-th commit."""

    class StoppingLedger(Ledger):
        commits = 0

        def _commit(self) -> None:
            self.commits += 1
            if self.commits == at and not after:
                raise StopError
            super()._commit()
            if self.commits == at:
                raise StopError

    class StoppingStore(Store):
        def _open_ledger(self, path: Path, *, writing: bool) -> Ledger:
            return StoppingLedger(path, writing=writing)

    return replace(IMPATIENT, open_store=lambda d: StoppingStore(d, writing=True))
