# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad log [RUN]`: a run's story as the ledger remembers it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fleetgrad.errors import StoreError, UsageError
from fleetgrad.report.simulation import comparison
from fleetgrad.run.summary import summarise
from fleetgrad.store import EventRow, RunRow, Store

from .files import read_bytes
from .project import in_a_run_directory
from .simulate import FOLDER
from .ui import Ui, verb


def clock(seconds: float) -> str:
    """Seconds since the epoch as local date and time."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def runs_table(runs: list[RunRow], current: str) -> Table:
    """All runs, the one that is told marked."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "run", "state", "fleet", "rounds", "starts", "began"):
        table.add_column(heading, justify="right" if heading in {"rounds", "starts"} else "left")
    for run in runs:
        mark = ">" if run.run_id == current else ""
        rounds, starts = str(run.rounds), str(run.starts)
        table.add_row(mark, run.run_id, run.state, run.fleet, rounds, starts, clock(run.at))
    return table


def story_table(events: list[EventRow], names: dict[int, str]) -> Table:
    """What happened, in order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("when", "round", "device", "what", ""):
        table.add_column(heading, justify="right" if heading == "round" else "left")
    for event in events:
        table.add_row(
            clock(event.at),
            "" if event.round is None else str(event.round),
            "" if event.device is None else names.get(event.device, f"{event.device:x}"),
            event.kind,
            event.text,
        )
    return table


def document_of(event: EventRow) -> dict[str, Any]:
    """An event as --json shows it."""
    return {
        "at": event.at,
        "round": event.round,
        "device": event.device,
        "kind": event.kind,
        "text": event.text,
        "digest": event.digest,
        "chain": event.chain,
    }


def result_of(directory: Path, named: str) -> dict[str, Any]:
    """A run's result: from a result.json, of a simulation below the run directory, or the ledger.

    Raises:
        FleetgradError: There is none of that name.
    """
    for path in (
        Path(named),
        Path(named, "result.json"),
        directory / FOLDER / named / "result.json",
    ):
        if path.is_file():
            return _read_result(path)
    with Store(directory, writing=False) as store:
        return summarise(store, named, resumed=False).to_json()


def _read_result(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_bytes(path, "result"))
    except ValueError as error:
        raise UsageError("the result is no JSON", str(path)) from error
    needed = {"run_id", "fleet", "rounds", "model_digest", "accuracy_before", "accuracy_after"}
    if not isinstance(document, dict) or not needed <= document.keys():
        raise UsageError(
            "the file holds no run's result", str(path), hint="result.json of simulate, run or demo"
        )
    return document


@click.command()
@click.argument("run", required=False)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Two runs side by side: ids, simulations, or result.json files.",
)
@click.option("--all", "whole", is_flag=True, help="Every accepted update too.")
@verb
@in_a_run_directory
def command(
    ui: Ui, directory: Path, run: str | None, *, whole: bool, compare: tuple[str, str] | None
) -> None:
    """Tells a run's story: rounds, devices, refusals with reasons; the last run's by default."""
    if compare is not None:
        ui.result(*comparison(*(result_of(directory, named) for named in compare)))
        return
    with Store(directory, writing=False) as store:
        runs = store.ledger.runs()
        before = [event for event in store.ledger.events() if event.run_id is None]
        failures = [event for event in before if event.kind == "failed"]
        if not runs and failures:
            told = [document_of(event) for event in failures]
            ui.result({"run_id": None, "events": told}, story_table(failures, {}))
            return
        if not runs:
            raise StoreError("there is no run yet", str(directory), hint="fleetgrad run")
        chosen = runs[-1] if run is None else store.ledger.run(run)
        events = [
            event
            for event in store.ledger.events()
            if event.run_id == chosen.run_id or (event in failures and event.at >= chosen.at)
        ]
        names = {row.device: row.name for row in store.ledger.devices(chosen.run_id)}
        rounds = store.ledger.rounds(chosen.run_id)
    document = {
        "run_id": chosen.run_id,
        "state": chosen.state,
        "fleet": chosen.fleet,
        "starts": chosen.starts,
        "runs": [one.run_id for one in runs],
        "rounds": [
            {
                "round": entry.round,
                "evaluation": entry.evaluation,
                "version": entry.version,
                "selected": list(entry.selected),
                "attempt": entry.attempt,
                "closed": entry.closed,
                "dropped": [{"device": d, "reason": reason} for d, reason in entry.dropped],
                "seconds": entry.seconds,
            }
            for entry in rounds
        ],
        "events": [document_of(event) for event in events],
    }
    shown = [event for event in events if whole or event.kind != "accepted"]
    ui.result(document, runs_table(runs, chosen.run_id), "", story_table(shown, names))
