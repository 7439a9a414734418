# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench links`: bad lines, resets, kills; is anything lost, or counted twice?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.errors import FleetgradError
from fleetgrad.simulator import Campaign, Faults, Noisy, NoisyLine, Outcome, Violation, carry
from fleetgrad.simulator.noise import POOL
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer

from ..files import read_bytes
from ..ui import Ui, verb

FRAMES: Final = 10_000_000
SEEDS: Final = 9_100  # of eleven rounds each: 100,000
RATES: Final = (1e-6, 1e-5, 1e-4, 1e-3)

BLOB_BYTES: Final = 1 << 20
BLOB_FAULTS: Final = Faults(lose=0.01, reorder=0.005, bit_errors=1e-4, piece_bytes=2048)
BLOB_RATIO: Final = 2.5
# What carries the blob, in bytes and milliseconds: 115,200 baud, a quick serial port, a network.
BLOB_LINES: Final = {"115,200 baud": (11.5, 2.0), "1 Mbaud": (92.0, 2.0), "network": (1000.0, 20.0)}
PAYLOADS: Final = (256, 1024)

_FRAMES_PER_TASK = 64 * POOL
_SEEDS_PER_TASK = 20


@dataclass(frozen=True)
class Blobs:
    """Blobs over one kind of line.

    Attributes:
        line: Its name.
        payload: Of the longest frames.
        quiet: Bytes on the line by bytes of the blob, without faults.
        ratios: The same with faults, for each seed.
        seconds: With faults, at most.
    """

    line: str
    payload: int
    quiet: float
    ratios: tuple[float, ...]
    seconds: float


@click.command()
@click.option("--frames", type=click.IntRange(0), default=FRAMES, show_default=True,
              help="With bit errors, through both decoders.")  # fmt: skip
@click.option("--blobs", type=click.IntRange(0), default=3, show_default=True,
              help="Of a mebibyte, on each kind of line.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(0), default=SEEDS, show_default=True,
              help="Simulated runs, of up to eleven rounds each.")  # fmt: skip
@click.option("--first", type=click.IntRange(0), default=0, show_default=True,
              help="The first of these seeds.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Only this simulated run, told in full.")
@click.option("--trace", is_flag=True, help="With --seed: everything that happens in it.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@verb
def links(
    ui: Ui,
    *,
    frames: int,
    blobs: int,
    seeds: int,
    first: int,
    seed: int | None,
    trace: bool,
    jobs: int,
) -> None:
    """Sends frames, blobs and whole runs over bad lines."""
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
        rig = build(Path(folder))
        if seed is not None:
            show(ui, rig, seed, trace=trace)
            return
        noisy = list(send_frames(ui, rig, frames, jobs))
        carried = list(send_blobs(ui, blobs, jobs))
        outcomes, violations = run_seeds(ui, rig, range(first, first + seeds), jobs)
    document = {
        "frames": [{**asdict(row), "expected_misses": row.misses} for row in noisy],
        "blobs": [asdict(row) for row in carried],
        "runs": totals(outcomes),
        "violations": violations,
    }
    tables = [frames_table(noisy)] if noisy else []
    tables += [blobs_table(carried)] if carried else []
    ui.result(document, *tables, runs_text(outcomes, violations))
    if violations or any(row.corrupt for row in noisy):
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class Rig:
    """A small model, generated and built.

    Attributes:
        bundle: Its folder.
        library: The firmware with it.
    """

    bundle: Path
    library: Path


def build(folder: Path) -> Rig:
    """Generates and builds the model that all simulated devices train: one layer, 64 to 10."""
    model = read_bytes(paths.home() / "tools" / "bench" / "head_64x10.tflite", "model")
    made = generate(model, "head", scheme=LastLayer(), loss=Loss.SOFTMAX_CROSS_ENTROPY, batch=1)
    made.write(folder / "bundle")
    board = load_board(paths.boards(), "native")
    image = build_image(folder / "bundle", board, "library", folder)
    return Rig(folder / "bundle", image.path)


def show(ui: Ui, rig: Rig, seed: int, *, trace: bool) -> None:
    """One simulated run.

    Raises:
        Violation: Something happened in it that never may.
    """
    campaign = Campaign(rig.bundle, rig.library)
    teller = (lambda now, text: ui.note(f"{now / 1000:10.3f} s  {text}")) if trace else None
    outcome = campaign.run(seed, trace=teller)
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in asdict(outcome).items():
        table.add_row(key, f"{value:,.1f}" if isinstance(value, float) else str(value))
    ui.result(asdict(outcome), table)


def send_frames(ui: Ui, rig: Rig, frames: int, jobs: int) -> Iterator[Noisy]:
    """Frames with bit errors, a share of them at every rate."""
    if frames == 0:
        return
    share = -(-frames // len(RATES))
    counts = [_FRAMES_PER_TASK] * (share // _FRAMES_PER_TASK)
    if share % _FRAMES_PER_TASK:
        counts.append(share % _FRAMES_PER_TASK)
    tasks = [
        (rig.library, seed, rate, -(-count // POOL))
        for rate in RATES
        for seed, count in enumerate(counts)
    ]
    sums: dict[float, Noisy] = {}
    with ui.progress("frames", len(tasks)) as advance, ProcessPoolExecutor(jobs) as pool:
        for done, found in enumerate(pool.map(_send_some, tasks), start=1):
            advance(done, f"bit error rate {found.rate:g}")
            sums[found.rate] = found if found.rate not in sums else sums[found.rate] + found
    yield from sums.values()


def _send_some(task: tuple[Path, int, float, int]) -> Noisy:
    library, seed, rate, passes = task
    return NoisyLine(Library(library), seed).send(rate, passes)


def send_blobs(ui: Ui, blobs: int, jobs: int) -> Iterator[Blobs]:
    """A mebibyte over every kind of line, with every size of frames."""
    kinds = [(name, payload) for name in BLOB_LINES for payload in PAYLOADS] if blobs else []
    with ui.progress("blobs", len(kinds)) as advance, ProcessPoolExecutor(jobs) as pool:
        for done, (name, payload) in enumerate(kinds, start=1):
            rate, latency = BLOB_LINES[name]
            bad = replace(BLOB_FAULTS, bytes_per_ms=rate, latency_ms=latency)
            good = replace(bad, lose=0.0, reorder=0.0, bit_errors=0.0)
            quiet = carry(BLOB_BYTES, payload, good, 0)
            sizes, payloads = repeat(BLOB_BYTES), repeat(payload)
            carried = list(pool.map(carry, sizes, payloads, repeat(bad), range(blobs)))
            advance(done, f"{name}, {payload} bytes")
            ratios = tuple(one.ratio for one in carried)
            yield Blobs(name, payload, quiet.ratio, ratios, max(one.seconds for one in carried))


def run_seeds(
    ui: Ui, rig: Rig, seeds: Sequence[int], jobs: int
) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """Simulated runs: what happened in each, and what should not have."""
    shares = [seeds[at : at + _SEEDS_PER_TASK] for at in range(0, len(seeds), _SEEDS_PER_TASK)]
    outcomes: list[Outcome] = []
    violations: list[dict[str, Any]] = []
    with ui.progress("runs", len(seeds)) as advance, ProcessPoolExecutor(jobs) as pool:
        for found, wrong in pool.map(_run_some, repeat(rig), shares):
            outcomes += found
            violations += wrong
            advance(len(outcomes) + len(violations), f"{len(violations)} violations")
    return outcomes, violations


def _run_some(rig: Rig, seeds: Iterable[int]) -> tuple[list[Outcome], list[dict[str, Any]]]:
    campaign = Campaign(rig.bundle, rig.library)
    outcomes: list[Outcome] = []
    violations: list[dict[str, Any]] = []
    for seed in seeds:
        try:
            outcomes.append(campaign.run(seed))
        except Violation as error:
            violations.append({"seed": seed, "what": error.what, "where": error.where})
        except FleetgradError as error:  # of the machine's, not of the run's
            raise FleetgradError(error.what, f"seed {seed}", error.expected, error.hint) from error
    return outcomes, violations


def totals(outcomes: list[Outcome]) -> dict[str, float]:
    """Sums over all runs."""
    return {
        "runs": len(outcomes),
        "rounds": sum(one.rounds for one in outcomes),
        "updates": sum(one.updates for one in outcomes),
        "receipts": sum(one.receipts for one in outcomes),
        "host_kills": sum(one.kills for one in outcomes),
        "host_failures": sum(one.failures for one in outcomes),
        "device_resets": sum(one.resets for one in outcomes),
        "virtual_hours": round(sum(one.seconds for one in outcomes) / 3600, 1),
    }


def frames_table(rows: list[Noisy]) -> Table:
    """Bit errors and what they did, a rate per line."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="Frames with bit errors",
                  title_justify="left", title_style="bold")  # fmt: skip
    for heading in ("rate", "frames", "bits inverted", "damaged", "delivered", "corrupt accepted",
                    "expected of a CRC-32"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.rate:g}", f"{row.frames:,}", f"{row.bits:,}", f"{row.damaged:,}",
            f"{row.delivered:,}", f"{row.corrupt}", f"{row.misses:.1g}",
        )  # fmt: skip
    return table


def blobs_table(rows: list[Blobs]) -> Table:
    """Bytes on the line by bytes of the blob."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title="1 MiB at 1 % loss, 0.5 % reordering, 1e-4 bit errors: bytes on the line by"
                  " bytes of the blob", title_style="bold")  # fmt: skip
    table.add_column("line", no_wrap=True)
    for heading in ("payload", "without faults", "with them, at most", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.line, str(row.payload), f"{row.quiet:.2f}", f"{max(row.ratios):.2f}",
            f"{row.seconds:.0f}",
        )  # fmt: skip
    worst = max(max(row.ratios) for row in rows)
    verdict = "met" if worst <= BLOB_RATIO else "missed"
    table.caption = f"worst {worst:.2f} (target {BLOB_RATIO}: {verdict})"
    table.caption_justify = "left"
    return table


def runs_text(outcomes: list[Outcome], violations: list[dict[str, Any]]) -> Text:
    """What the simulated runs went through, and what they broke."""
    if not outcomes and not violations:
        return Text("")
    sums = totals(outcomes).items()
    told = ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in sums)
    lines = [f"simulated: {told}", f"updates lost or counted twice, wrong ones: {len(violations)}"]
    lines += [f"  seed {one['seed']}: {one['what']} ({one['where']})" for one in violations[:20]]
    return Text("\n".join(lines))
