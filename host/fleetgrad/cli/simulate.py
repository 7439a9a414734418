# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad simulate`: a virtual fleet of any size, with the boards' own arithmetic."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.federation.model import from_vector
from fleetgrad.report.simulation import render_simulation, simulation_table
from fleetgrad.simulate.engine import Engine, LocalEngine
from fleetgrad.simulate.native import FleetLibrary
from fleetgrad.simulate.rounds import SimulatedRound, Simulation, Simulator
from fleetgrad.simulate.samples import FleetSamples
from fleetgrad.store import export, layout_of

from .bundles import SchemeName, with_scheme
from .files import write_bytes, write_text
from .firmware import Build, build_firmware
from .project import configured
from .ui import Ui, verb
from .virtual_fleet import classes_of, clock_of, samples_of

ENGINES = ("local", "ray")
FOLDER = "simulations"


@click.command()
@click.option(
    "--devices", type=click.IntRange(1, 1 << 31), help="How many; else every user of the data set."
)
@click.option("--engine", "kind", type=click.Choice(ENGINES), default="local", show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Threads or tasks; else all processors.")
@click.option("--shards", type=click.IntRange(1), help="Into how many parts a round is cut.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Instead of train.seed.")
@click.option("--rounds", type=click.IntRange(1), help="Instead of rounds.count.")
@click.option("--scheme", type=SchemeName(trains=True), help="Instead of scheme.name.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder; below run.dir by default."
)
@verb
@configured
def command(
    ui: Ui,
    config: Config,
    *,
    devices: int | None,
    kind: str,
    workers: int | None,
    shards: int | None,
    seed: int | None,
    rounds: int | None,
    scheme: str | None,
    output: Path | None,
) -> None:
    """Trains a virtual fleet: up to millions of devices, bit for bit as boards would.

    Writes result.json, report.html and learned.tflite into a folder named after the inputs; the
    same inputs give the same model on any engine, with any number of workers.
    """
    if seed is not None:
        config = replace(config, train=replace(config.train, seed=seed))
    if rounds is not None:
        config = replace(config, rounds=replace(config.rounds, count=rounds))
    if scheme is not None:
        config = with_scheme(config, scheme)
    made = build_firmware(
        config, load_board(paths.boards(), "native"), "fleet", config.run.dir / "build"
    )
    layout = layout_of(made.bundle)
    library = FleetLibrary(made.image.path, layout.shape)
    found = samples_of(config, made.folder, library, devices or 0)
    plan = found.inputs.plan
    count = found.samples.devices
    ui.note(f"{count:,} devices, {found.words}")
    clock = None
    if config.simulate.clock:
        clock = clock_of(config, plan, found, classes_of(config, made.generated, ui.note))
    engine = _engine(kind, library, found.samples, made.folder, (workers or 0, shards or 0))
    try:
        with ui.progress("rounds", plan.rounds) as advance:

            def tell(news: SimulatedRound | str) -> None:
                if isinstance(news, str):
                    ui.note(news)
                else:
                    accuracy = "" if news.accuracy is None else f"{100 * news.accuracy:.1f} %"
                    advance(news.round, accuracy)

            done = Simulator(
                plan,
                found.samples,
                engine,
                clock,
                found.test if made.bundle.has_labels else None,
                made.bundle.reported_loss_unit,
                tell,
            ).run(from_vector(layout, made.bundle.initial_params))
    finally:
        engine.close()
    name = _name(config, made, found.samples)
    folder = output or config.run.dir / FOLDER / name
    document = _document(name, config, done, engine, count)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "learned.tflite", export(made.bundle, done.model))
    write_text(folder / "report.html", render_simulation(document, found.words))
    write_text(folder / "result.json", json.dumps(document, indent=2) + "\n")
    ui.result(document | {"folder": str(folder)}, simulation_table(document))


def _engine(
    kind: str, library: FleetLibrary, samples: FleetSamples, folder: Path, cut: tuple[int, int]
) -> Engine:
    if kind == "ray":
        from fleetgrad.simulate.ray_engine import RayEngine  # noqa: PLC0415 - an extra

        return RayEngine(library, folder, samples, *cut)
    return LocalEngine(library, samples, *cut)


def _name(config: Config, made: Build, samples: FleetSamples) -> str:
    """Of everything that decides the result."""
    digest = hashlib.sha256(made.bundle.digest + config.fingerprint().encode())
    digest.update(json.dumps(config.to_dict()["simulate"], sort_keys=True).encode())
    digest.update(f"{samples.devices}".encode())
    for part in (samples.train, samples.held):
        for array in (part.inputs, part.targets, part.first, part.rows):
            if array is not None:
                digest.update(array.data)
    return f"sim-{digest.hexdigest()[:8]}"


def _document(
    name: str, config: Config, done: Simulation, engine: Engine, devices: int
) -> dict[str, Any]:
    """What --json shows, and what result.json keeps."""
    return {
        "run_id": name,
        "fleet": "simulated",
        "engine": engine.name,
        "workers": engine.workers,
        "devices": devices,
        "strategy": config.strategy.name,
        "seed": config.train.seed,
        "rounds": [one.to_json() for one in done.rounds],
        "accuracy_before": done.accuracy_before,
        "accuracy_after": done.accuracy_after,
        "model_digest": done.model.digest.hex(),
        "device_rounds": done.device_rounds,
        "device_rounds_per_second": round(done.device_rounds_per_second, 1),
        "processor_seconds": round(done.processor_seconds, 3),
        "peak_rss_bytes": done.peak_rss_bytes,
    }
