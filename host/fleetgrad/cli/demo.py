# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad demo`: a factory model meets eight shifted sensors and learns from all of them."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.text import Text

from fleetgrad import paths
from fleetgrad.boards import Board
from fleetgrad.config import Config, learning_rate, load
from fleetgrad.data import DeviceData
from fleetgrad.federation.model import GlobalModel
from fleetgrad.report import Report, device_table, render_html, summary_table
from fleetgrad.results import RunResult
from fleetgrad.run import execute
from fleetgrad.store import Store, export
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_forward, bench_training

from .backends import Model
from .choice import choose_fleet
from .files import write_bytes, write_text
from .firmware import Build, firmware_of
from .fleets import KINDS, prepare_fleet
from .float_fleet import float_fedavg, labels_of, read_devices
from .plan import memory_of
from .proof import device_outputs, prove
from .ui import Ui, verb
from .watch import Watcher

TITLE = "A factory model meets eight tilted cameras"
COUNTED_STEPS = 64


@click.command()
@click.option("--fleet", type=click.Choice(list(KINDS)), help="By default the best there is.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="Of the run; by default the plan's."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; build/demo else.")
@verb
def command(ui: Ui, fleet: str | None, seed: int | None, output: Path | None) -> None:
    """Trains a digit classifier over eight boards, each with data that it keeps to itself.

    Leaves report.html, result.json and learned.tflite behind.
    """
    started = time.monotonic()
    out = (output or paths.home() / "build" / "demo").absolute()
    config = load(
        paths.home() / "examples" / "digits" / "fleetgrad.toml", [f"run.dir={out / 'run'}"]
    )
    if seed is not None:
        config = replace(config, train=replace(config.train, seed=seed))
    choice = choose_fleet(config, fleet)
    config = replace(config, fleet=replace(config.fleet, kind=choice.kind))
    ui.note(f"fleet: {config.fleet.devices} {choice.words}, because {choice.why}")

    made, board, devices = prepare_fleet(config, out)
    tell_plan(ui, config, made, board)
    with Watcher(ui) as watcher:
        run = execute(config, made.folder, devices, watcher)

    data = read_devices(config, made.bundle)
    ui.note("float32 FedAvg with the same plan, for comparison")
    reference = float_fedavg(config, made.bundle, data)
    version = final_version(config)
    learned = export(made.bundle, version)
    write_bytes(out / "learned.tflite", learned)
    ui.note("checking learned.tflite with LiteRT's reference kernels, sample by sample")
    held_out = np.concatenate([device.eval_x for device in data])
    outputs = device_outputs(made, board, out / "check", held_out, version.vector())
    proof = prove(Model.read(learned, config.model_name), outputs, data, run)

    counted = count_instructions(config, made, board, out / "check", data[0])

    run = with_labels(run, config)
    report = Report(
        title=TITLE,
        backend=f"They are {choice.words}, because {choice.why}.",
        run=run,
        model=f"{config.model_name}.tflite",
        scheme=config.scheme.name,
        seed=config.train.seed,
        learning_rate=config.train.learning_rate,
        trained_weights=made.bundle.param_count,
        reference=reference,
        memory=memory_of(made.generated),
        firmware=None if board.hosted else firmware_of(made.image, board),
        instructions_per_step=counted.step,
        instructions_per_inference=counted.inference,
        verified_samples=proof.samples,
        seconds=time.monotonic() - started,
        page="report.html",
        exported_model="learned.tflite",
    )
    write_text(out / "report.html", render_html(report))
    document = report.to_json()
    write_text(out / "result.json", json.dumps(document, indent=2) + "\n")
    ui.result(document, "", device_table(run), "", summary_table(report), "", closing(report, out))


def tell_plan(ui: Ui, config: Config, made: Build, board: Board) -> None:
    """What will train, and what it takes."""
    memory = made.generated.memory
    ui.note(
        f"plan:  {config.model_name}.tflite, {config.scheme.name}: {made.bundle.param_count:,}"
        f" parameters train; arena {memory.layout.arena_bytes:,} B"
        f" (lower bound {memory.layout.lower_bound_bytes:,} B)"
    )
    image = made.image
    sizes = f"{image.text_bytes:,} B code, {image.weights_bytes:,} B weights"
    ram = "" if board.hosted else f", {image.ram_bytes:,} B RAM with the stack"
    ui.note(f"build: {image.path.name} for {board.id} in {made.seconds:.1f} s: {sizes}{ram}")


def final_version(config: Config) -> GlobalModel:
    """The current version of the run's store."""
    with Store(config.run.dir, writing=False) as store:
        newest = store.newest()
        assert newest is not None
        return store.model(newest.version)


@dataclass(frozen=True)
class Counted:
    """Instructions of the board's work on one sample; None where nothing counts them."""

    step: int | None = None
    inference: int | None = None


def count_instructions(
    config: Config, made: Build, board: Board, out: Path, device: DeviceData
) -> Counted:
    """Boots a board that counts, and lets it infer and train on some samples."""
    if board.hosted:
        return Counted()
    image = build_image(made.folder, board, "bench", out)
    samples = device.train_x[:COUNTED_STEPS]
    labels = labels_of(device.train_y[:COUNTED_STEPS]).astype(np.uint32)
    mantissa, exponent = learning_rate(config.train.learning_rate)
    job = TrainingJob(
        steps=len(samples),
        rows=1,
        lr_mantissa=mantissa,
        lr_exponent=exponent,
        round_key=config.train.seed,
    )
    steps = bench_training(board, image, samples, labels, job).instructions
    size = math.prod(made.bundle.output.shape)
    inferences = bench_forward(board, image, samples, output_bytes=size).instructions
    return Counted(round(sum(steps) / len(steps)), round(sum(inferences) / len(inferences)))


def with_labels(run: RunResult, config: Config) -> RunResult:
    """The run with devices named by what their cameras do to a picture."""
    with np.load(config.data.path) as archive:
        sensors = json.loads(str(archive["meta"]))["sensors"]
    names = {
        report.device: f"{report.name}: {describe(sensors[int(report.name)])}"
        for report in run.devices
    }
    devices = tuple(
        dataclasses.replace(report, name=names[report.device]) for report in run.devices
    )
    return dataclasses.replace(run, devices=devices)


def describe(sensor: dict[str, Any]) -> str:
    """A camera in a few words."""
    words = [f"{sensor['rotation']}° tilt"]
    if sensor["blur"]:
        words.append("blurred")
    if sensor["gamma"] > 1:
        words.append("faint strokes")
    if sensor["gamma"] < 1:
        words.append("fat strokes")
    if sensor["gain"] <= 0.6:
        words.append("low contrast")
    if sensor["offset"] >= 0.2:
        words.append("stray light")
    return ", ".join(words[:3])


def closing(report: Report, out: Path) -> Text:
    """What was proven, and where everything is."""
    here = Path.cwd()
    shown = out.relative_to(here) if out.is_relative_to(here) else out
    proof = (
        f"learned.tflite gives the boards' outputs bit for bit on all {report.verified_samples}"
        " held-out samples (LiteRT, reference kernels)"
    )
    lines = [
        proof,
        *(str(shown / name) for name in (report.page, "result.json", report.exported_model)),
        f"took {report.seconds:.0f} s",
    ]
    return Text("\n".join(lines))
