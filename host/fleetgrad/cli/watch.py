# SPDX-License-Identifier: Apache-2.0
"""A run's progress: a bar over the rounds on a terminal, a line per event elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from fleetgrad.report.units import percent
from fleetgrad.results import RoundReport, RunStarted

from .ui import Advance, Ui


class Watcher:
    """Shows what a run's observer is told. Use as a context manager around `execute`."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._stack = contextlib.ExitStack()
        self._advance: Advance | None = None
        self._rounds = 0
        self._closed = 0
        self._wanted = 0
        self._updates = 0
        self._last = ""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar, so that results can follow it."""
        self._stack.close()

    def run_started(self, started: RunStarted) -> None:
        """Names the run, and where it goes on."""
        goes = f", goes on with round {started.first_round}" if started.resumed else ""
        self._ui.note(f"run {started.run_id}: {started.devices} devices, {started.fleet}{goes}")
        self._rounds = started.rounds
        self._closed = started.first_round - 1

    def device_ready(self, device: int, ready: int, total: int) -> None:
        """Counts devices that answer."""
        self._ui.detail(f"device {device} is ready ({ready} of {total})")
        if ready == total and self._advance is None:
            self._ui.note(f"all {total} devices are ready")

    def round_opened(self, number: int, selected: Sequence[int], evaluation_only: bool) -> None:
        """Starts the bar with the first round."""
        if self._advance is None:
            self._advance = self._stack.enter_context(self._ui.progress("rounds", self._rounds))
        self._updates, self._wanted = 0, len(selected)
        self._ui.detail(f"round {number}: {len(selected)} devices")
        if evaluation_only:
            self._advance(self._closed, "last evaluation")

    def update_accepted(self, number: int, device: int) -> None:
        """Shows how far the round is."""
        self._updates += 1
        self._ui.detail(f"round {number}: device {device} is in the ledger")
        if self._advance is not None:
            self._advance(self._closed, f"{self._last}{self._updates} of {self._wanted} updates")

    def round_closed(self, report: RoundReport) -> None:
        """Moves the bar on, with the accuracy that the round found."""
        self._closed += 1
        found = report.accuracy_at_start
        self._last = "" if found is None else f"started at {percent(found)}, "
        if self._advance is not None:
            dropped = f", {len(report.dropped)} dropped" if report.dropped else ""
            self._advance(self._closed, f"{self._last}{len(report.accepted)} updates{dropped}")

    def notice(self, text: str) -> None:
        """Says it."""
        self._ui.note(text)
