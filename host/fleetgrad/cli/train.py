# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad train MODEL`: one device's local training, for trying a scheme out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from fleetgrad.config import Config
from fleetgrad.errors import UsageError
from fleetgrad.report.units import count, percent

from .bundles import SchemeName, loss_option, make_bundle, with_loss, with_scheme
from .files import refuse_to_overwrite, write_bytes
from .local import TRAINERS, Learned, trainer_of
from .project import configured_for_a_model
from .ui import Ui, verb


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="An .npz with x, y and user.")
@click.option("--scheme", type=SchemeName(trains=True), help="Instead of scheme.name.")
@loss_option
@click.option("--backend", default="native", show_default=True,
              help=f"{', '.join(TRAINERS)} or an emulated board's id.")  # fmt: skip
@click.option("--user", help="Whose samples; by default the data set's first user.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Gets the learned .tflite.")
@verb
@configured_for_a_model
def command(
    ui: Ui,
    config: Config,
    *,
    data: Path | None,
    scheme: str | None,
    loss: str | None,
    backend: str,
    user: str | None,
    output: Path | None,
) -> None:
    """Trains on one device's samples, round 1 of a run, and evaluates on its held-out ones.

    MODEL is a .tflite file; by default the configured one.
    """
    if data is not None:
        config = replace(config, data=replace(config.data, path=data.absolute()))
    if scheme is not None:
        config = with_scheme(config, scheme)
    config = with_loss(config, loss)
    if config.scheme.name == "none":
        raise UsageError("nothing trains", "scheme.name", "a scheme other than none")
    refuse_to_overwrite(output, config.model.path, config.data.path)
    # Nobody is there to tell the one machine that a scale should grow.
    config = replace(config, ranges=replace(config.ranges, grow="off"))
    generated = make_bundle(config, None)
    with trainer_of(backend, config, generated, user) as trainer:
        ui.note(f"device {trainer.device.device} ({trainer.device.name}), {backend}")
        with ui.progress("steps", trainer.steps) as advance:
            learned = trainer.train(advance)
            advance(trainer.steps)
    if output is not None:
        write_bytes(output, learned.model)
        ui.note(f"learned model: {output}")
    document = {
        "backend": backend,
        "user": trainer.device.name,
        "train_samples": len(trainer.device.train_x),
        "eval_samples": len(trainer.device.eval_x),
        "steps": trainer.steps,
        "loss": list(learned.loss),
        "accuracy_before": learned.accuracy_before,
        "accuracy_after": learned.accuracy_after,
        "instructions_per_step": learned.instructions_per_step,
        "params_sha256": learned.params_sha256,
    }
    ui.result(document, table_of(learned))


def table_of(learned: Learned) -> Table:
    """What it brought."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for epoch, loss in enumerate(learned.loss, 1):
        table.add_row(f"mean loss in epoch {epoch}", f"{loss:.4f}")
    if learned.accuracy_before is not None:
        before, after = percent(learned.accuracy_before), percent(learned.accuracy_after)
        table.add_row("held-out accuracy", f"{before} -> {after}")
    if learned.instructions_per_step is not None:
        table.add_row("instructions per step", count(learned.instructions_per_step))
    table.add_row("parameters", learned.params_sha256[:16])
    return table
