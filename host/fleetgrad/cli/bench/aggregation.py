# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench aggregation`: how fast updates are added, and what a round takes of RAM."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from fleetgrad import config as configs
from fleetgrad.device import Update, read_update
from fleetgrad.errors import ToolError
from fleetgrad.federation.exact import divide
from fleetgrad.federation.model import FRACTION_BITS, Layout
from fleetgrad.federation.partial import Fold, PartialSum, numpy_fold
from fleetgrad.run import execute
from fleetgrad.store import Store
from fleetgrad.toolchain.fold import find_fold
from fleetgrad.wire.messages import Work

from ..ui import Ui, verb
from .herd import Deltas, HerdFleet, samples_of
from .made_up import Head

RATE_TARGET: Final = 8000.0
MEMORY_TARGET: Final = 300e6
MEMORY_DEVICES: Final = 10_000
BIG: Final = Head(inputs=9999, outputs=10)  # 100,000 deltas
SMALL: Final = Head(inputs=1999, outputs=10)  # 20,000
T = TypeVar("T")
_SECONDS: Final = 2.0
_DISTINCT: Final = 64


@dataclass(frozen=True)
class Rate:
    """How fast one way is.

    Attributes:
        way: Its name.
        per_second: Updates per second of one core's time.
    """

    way: str
    per_second: float


@dataclass(frozen=True)
class Memory:
    """What one round took.

    Attributes:
        devices: How many answered.
        update_bytes: Of each update.
        before: Resident bytes before the run.
        peak: At the most, in bytes.
        seconds: Of the whole run.
        host_seconds: Of the host's processor time.
    """

    devices: int
    update_bytes: int
    before: int
    peak: int
    seconds: float
    host_seconds: float


@click.command()
@click.option("--devices", type=click.IntRange(1, 16000), default=10000, show_default=True)
@verb
def aggregation(ui: Ui, devices: int) -> None:
    """Adds 100 kB updates into int64 sums; then runs a round over so many made-up devices.

    The devices are another process; the host is all of the product, with its ledger in a temporary
    folder. What it makes is compared with a sum made here.
    """
    memory = measure_memory(devices)
    rates = measure_rates(ui.note)
    speed = Table(box=None, pad_edge=False, header_style="dim")
    speed.add_column("100 kB updates, one core")
    speed.add_column("updates/s", justify="right")
    for rate in rates:
        speed.add_row(rate.way, f"{rate.per_second:,.0f}")
    ram = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("devices", "update", "before", "peak", "seconds", "host seconds"):
        ram.add_column(heading, justify="right")
    ram.add_row(
        f"{memory.devices:,}",
        f"{memory.update_bytes:,} B",
        f"{memory.before / 1e6:.0f} MB",
        f"{memory.peak / 1e6:.0f} MB",
        f"{memory.seconds:.0f}",
        f"{memory.host_seconds:.0f}",
    )
    best = max(rate.per_second for rate in rates)
    said = f"targets: {RATE_TARGET:,.0f} updates/s: {'met' if best >= RATE_TARGET else 'missed'}"
    if devices >= MEMORY_DEVICES:
        said += (
            f"; {MEMORY_TARGET / 1e6:.0f} MB for {MEMORY_DEVICES:,} devices:"
            f" {'met' if memory.peak <= MEMORY_TARGET else 'missed'}"
        )
    document = {"rates": [asdict(rate) for rate in rates], "memory": asdict(memory)}
    ui.result(document, speed, "", ram, "", said)


def measure_rates(tell: Callable[[str], None]) -> list[Rate]:
    """Adding alone, each way; and with everything that is checked of an update before."""
    layout = Layout(BIG.digest, BIG.segments)
    deltas = Deltas(BIG)
    blobs = [deltas.blob(device, 1, 0) for device in range(_DISTINCT)]
    updates = [read_update(blob, layout.shape, Work.TRAIN) for blob in blobs]
    fold = find_fold(tell)
    ways: list[tuple[str, Fold]] = [("NumPy", numpy_fold)]
    if fold is not numpy_fold:
        ways.insert(0, ("C", fold))
    rates = []
    totals = []
    for name, way in ways:
        sums = np.zeros(layout.count, np.int64)
        add = partial(_add, way, sums, layout.counts)
        rates.append(Rate(f"{name}, adding", _rate(updates, add)))
        totals.append(_once(layout, updates, way))
    if len({total.to_bytes() for total in totals}) != 1:
        raise ToolError("C and NumPy do not add alike")
    whole = PartialSum.empty(layout, fold=ways[0][1])

    def check(blob: bytes) -> None:
        update = read_update(blob, layout.shape, Work.TRAIN)
        whole.add(1, update, (update.samples,))

    rates.append(Rate(f"{ways[0][0]}, with CRC, SHA-256 and limits", _rate(blobs, check)))
    return rates


def _add(way: Fold, sums: NDArray[np.int64], counts: tuple[int, ...], update: Update) -> None:
    way(sums, update.deltas, update.samples, update.exponents, counts)


def _rate(items: list[T], work: Callable[[T], None]) -> float:
    """Items per second of this process's time."""
    done, started = 0, time.process_time()
    while (spent := time.process_time() - started) < _SECONDS:
        for item in items:
            work(item)
        done += len(items)
    return done / spent


def _once(layout: Layout, updates: list[Update], fold: Fold) -> PartialSum:
    total = PartialSum.empty(layout, fold=fold)
    for device, update in enumerate(updates):
        total.add(device, update, (update.samples,))
    return total


def measure_memory(devices: int) -> Memory:
    """One round over so many devices, all of which answer at once.

    Raises:
        ToolError: The version is not the mean of the updates.
    """
    before = _resident()
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        folder = Path(name)
        tables = {
            "model": {"path": "made-up"},
            "rounds": {"count": 1, "min_updates": devices, "timeout_s": 3600.0},
            "ranges": {"grow": "off"},
        }
        config = configs.from_tables(tables, base=folder, source="the bench")
        started, spent = time.monotonic(), time.process_time()
        result = execute(config, SMALL.write(folder / "bundle"), HerdFleet(devices, SMALL))
        seconds, host_seconds = time.monotonic() - started, time.process_time() - spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with Store(config.run.dir, writing=False) as store:
            first, last = store.model(1).values, store.model(result.version).values
    total = PartialSum.empty(Layout(SMALL.digest, SMALL.segments))
    deltas = Deltas(SMALL)
    for device in range(1, devices + 1):
        exponents, found = deltas.of(device)
        numpy_fold(total.sums, found, samples_of(device), exponents, total.layout.counts)
    weight = sum(samples_of(device) for device in range(1, devices + 1))
    if not np.array_equal(last, first + divide(total.sums, weight, FRACTION_BITS)):
        raise ToolError("the version is not the mean of the updates")
    return Memory(devices, SMALL.update_bytes, before, peak, seconds, host_seconds)


def _resident() -> int:
    """Bytes of this process that are in memory now; where the system does not say, 0."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()
