# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench kills`: real processes are killed; is anything lost, or counted twice?"""

from __future__ import annotations

import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from fleetgrad.errors import ToolError

from ..ui import Advance, Ui, verb
from .board_kills import BOARD_KILLS, kill_boards
from .doomed import MOMENTS
from .site import Site
from .tally import Tally

BROKER_KILLS: Final = 50
_ROUNDS: Final = {"broker": 12, "host": 3}
_PATIENCE_S: Final = 300.0


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        directory: Its ledger's.
        held: What the ledger held before the last kill.
        wanted: The digest of the undisturbed run.
        digest: Its own; empty when it did not come to its end.
    """

    directory: Path
    held: list[tuple[int, int]]
    wanted: str
    digest: str


@click.command()
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(["board", "broker", "host"]),
    multiple=True,
    help="Who is killed; all of them by default.",
)
@click.option("--board-kills", type=click.IntRange(1), default=BOARD_KILLS, show_default=True)
@click.option("--broker-kills", type=click.IntRange(1), default=BROKER_KILLS, show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, help="Of the host: every n-th commit.")
@click.option("--seed", type=int, default=1, show_default=True)
@verb
def kills(
    ui: Ui,
    *,
    kinds: tuple[str, ...],
    board_kills: int,
    broker_kills: int,
    every: int,
    seed: int,
) -> None:
    """Kills with SIGKILL: boards at every stage of a round, brokers, hosts around each commit.

    Native devices train the digits model: four on cables, which are killed; or three behind
    Mosquitto, which outlive broker and host.
    """
    campaigns: dict[str, Callable[[Site, str, Advance], Tally]] = {
        "broker": lambda site, digest, advance: kill_broker(
            site, digest, broker_kills, seed, advance
        ),
        "host": lambda site, digest, advance: kill_host(site, digest, every, advance),
    }
    tallies = []
    for kind in kinds or ("board", *campaigns):
        if kind == "board":
            with (
                tempfile.TemporaryDirectory(prefix="fleetgrad-") as name,
                ui.progress("kills of boards", board_kills) as advance,
            ):
                tallies.append(kill_boards(Path(name), board_kills, seed, advance))
            continue
        with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
            folder = Path(name)
            with Site(folder, _ROUNDS[kind]) as site:
                host = site.host(folder / "undisturbed")
                digest = _finish(host)
                if not digest:
                    raise ToolError("the undisturbed run did not end")
                total = broker_kills if kind == "broker" else 0
                with ui.progress(f"kills of the {kind}", total) as advance:
                    tallies.append(campaigns[kind](site, digest, advance))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("killed", "times", "runs", "lost", "double", "other models"):
        table.add_column(heading, justify="left" if heading == "killed" else "right")
    for tally in tallies:
        counts = (tally.kills, tally.runs, tally.lost, tally.double, tally.other)
        table.add_row(tally.kind, *map(str, counts))
    ui.result({"campaigns": [asdict(tally) for tally in tallies]}, table)
    if not all(tally.clean for tally in tallies):
        ui.refuse(ToolError("updates were lost, doubled, or made another model"))


def kill_broker(site: Site, digest: str, wanted: int, seed: int, advance: Advance) -> Tally:
    """Kills the broker at drawn moments of runs, and starts it again at once."""
    tally, dice = Tally("broker"), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        while tally.kills < wanted:
            directory = Path(name) / str(tally.runs)
            host = site.host(directory)
            held: list[tuple[int, int]] = []
            while host.poll() is None and tally.kills < wanted:
                if not _more(site, directory, held, host):
                    break
                time.sleep(dice.uniform(0.0, 0.3))
                held = site.accepted(directory)
                site.broker.stop()
                site.broker.start()
                tally.kills += 1
                advance(tally.kills)
            _judge(tally, site, Ended(directory, held, digest, _finish(host)))
    return tally


def _more(
    site: Site, directory: Path, held: list[tuple[int, int]], host: subprocess.Popen[str]
) -> bool:
    """Waits until the ledger holds more than before; false when the run ends first."""
    until = time.monotonic() + _PATIENCE_S
    while len(site.accepted(directory)) <= len(held):
        if host.poll() is not None:
            return False
        if time.monotonic() > until:
            raise ToolError(f"no update for {_PATIENCE_S:.0f} s after a kill", str(directory))
        time.sleep(0.02)
    return True


def kill_host(site: Site, digest: str, every: int, advance: Advance) -> Tally:
    """Kills the host around each of its commits, and lets the next one go on with the run."""
    tally = Tally("host", by_moment=dict.fromkeys(MOMENTS, 0))
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        for moment in MOMENTS:
            count = 1
            while True:
                directory = Path(name) / f"{moment}{count}"
                host = site.host(directory, moment, count)
                said = _finish(host)
                held = site.accepted(directory)
                if host.returncode == -signal.SIGKILL:
                    tally.kills += 1
                    tally.by_moment[moment] += 1
                    advance(tally.kills)
                    said = _finish(site.host(directory))
                _judge(tally, site, Ended(directory, held, digest, said))
                if host.returncode == 0:
                    break
                count += every
    return tally


def _finish(host: subprocess.Popen[str]) -> str:
    """The digest that a host prints at its end, empty when it was killed."""
    try:
        said, _ = host.communicate(timeout=_PATIENCE_S)
    finally:
        host.kill()
        host.wait()
    return said.strip()


def _judge(tally: Tally, site: Site, run: Ended) -> None:
    """Counts what a run that has ended came to."""
    found = site.accepted(run.directory)
    tally.runs += 1
    tally.lost += max(len(set(run.held) - set(found)), site.updates - len(set(found)))
    tally.double += len(found) - len(set(found))
    tally.other += run.digest != run.wanted
