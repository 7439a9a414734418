# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench mqtt`: durable updates per second through Mosquitto."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from fleetgrad import config as configs
from fleetgrad.errors import ToolError
from fleetgrad.fleet import MqttFleet
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.link.broker import Mosquitto
from fleetgrad.run import execute
from fleetgrad.store import Store
from fleetgrad.wire.topics import payload_of

from ..ui import Ui, verb
from .load import Job
from .made_up import Head

TARGET: Final = 1500
HEAD: Final = Head(inputs=306, outputs=2)
RECORDS: Final = (256, 1056)
_FLEET: Final = "bench"
_LOAD: Final = "from fleetgrad.cli.bench.load import main; main()"


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        record: Bytes of the longest record.
        devices: How many.
        rounds: Training rounds.
        per_second: Updates per second while updates came up, the median of the rounds.
        best_per_second: The same of the best round.
        whole_per_second: Updates per second of the whole run: the models' way down as well.
        host_us: Processor time of the host for one update, of the whole run.
    """

    record: int
    devices: int
    rounds: int
    per_second: float
    best_per_second: float
    whole_per_second: float
    host_us: float


@click.command()
@click.option("--devices", type=click.IntRange(1, 16000), default=1000, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--at-once", type=click.IntRange(1, 16000), default=250, show_default=True)
@verb
def mqtt(ui: Ui, *, devices: int, rounds: int, at_once: int) -> None:
    """Takes 640-byte updates with QoS 1 until the ledger has them and their devices know it.

    Host, broker and devices share this machine. The devices are a load that computes nothing; the
    host is all of the product, with its ledger in a temporary folder on this machine's disk.
    """
    rows = [measure(record, devices, rounds, at_once) for record in RECORDS]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in (
        "record",
        "devices",
        "rounds",
        "updates/s",
        "at best",
        "whole run",
        "host us/update",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            str(row.record),
            str(row.devices),
            str(row.rounds),
            f"{row.per_second:,.0f}",
            f"{row.best_per_second:,.0f}",
            f"{row.whole_per_second:,.0f}",
            f"{row.host_us:,.0f}",
        )
    best = max(row.per_second for row in rows)
    said = f"target {TARGET:,} updates/s: {'met' if best >= TARGET else 'missed'}"
    ui.result({"target": TARGET, "rows": [asdict(row) for row in rows]}, table, "", said)


def measure(record: int, devices: int, rounds: int, at_once: int) -> Row:
    """One run with records of at most so many bytes.

    Raises:
        ToolError: The load ended before the run did, or the ledger does not hold every update once.
    """
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        folder = Path(name)
        broker = Mosquitto(folder / "broker", "allow_anonymous true")
        job = Job(
            port=broker.port,
            fleet=_FLEET,
            devices=devices,
            digest=HEAD.digest[:8].hex(),
            segments=tuple(count for _, count in HEAD.segments),
            payload=payload_of(record),
            at_once=at_once,
        )
        load = subprocess.Popen(
            [sys.executable, "-c", _LOAD, job.text()],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            spent, seconds, held = _run(folder, job, record, rounds)
            said, _ = load.communicate(timeout=60)
        finally:
            load.kill()
            load.wait()
            broker.stop()
    times = [json.loads(line) for line in said.splitlines()]
    uploads = sorted(one["seconds"] for one in times if one["train"])
    if len(uploads) != rounds:
        raise ToolError(f"the load saw {len(uploads)} rounds of {rounds}")
    return Row(
        record=record,
        devices=devices,
        rounds=rounds,
        per_second=devices / uploads[len(uploads) // 2],
        best_per_second=devices / uploads[0],
        whole_per_second=held / seconds,
        host_us=1e6 * spent / held,
    )


def _run(folder: Path, job: Job, record: int, rounds: int) -> tuple[float, float, int]:
    """The host's part: its processor time, the time, and the updates that its ledger holds."""
    tables = {
        "model": {"path": "made-up"},
        "rounds": {"count": rounds, "timeout_s": 600.0},
        "fleet": {"kind": "mqtt", "name": _FLEET},
    }
    config = configs.from_tables(tables, base=folder, source="the bench")
    address = parse_broker(f"mqtt://127.0.0.1:{job.port}")
    fleet = MqttFleet(address, Certificates(), _FLEET, job.devices, record=record)
    before, started = time.process_time(), time.monotonic()
    execute(config, HEAD.write(folder / "bundle"), fleet)
    spent, seconds = time.process_time() - before, time.monotonic() - started
    with Store(config.run.dir, writing=False) as store:
        (run,) = store.ledger.runs()
        held = [(u.round, u.device) for u in store.ledger.updates(run.run_id)]
    wanted = job.devices * (rounds + 1)
    if len(held) != len(set(held)) or len(held) != wanted:
        raise ToolError(f"the ledger holds {len(held)} updates of {wanted}")
    return spent, seconds, len(held)
