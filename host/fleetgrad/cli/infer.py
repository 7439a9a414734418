# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad infer MODEL`: runs samples through a model, on any backend, to the same bits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from .backends import REFERENCE, Model, open_backend
from .files import about, read_array, read_bytes, refuse_to_overwrite, write_arrays
from .ui import Ui, verb


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--input", "source", type=click.Path(path_type=Path), required=True,
              help="An .npz with the samples in x, in the model's own dtype.")  # fmt: skip
@click.option("--backend", default=REFERENCE, show_default=True,
              help="reference, native, or an emulated board's id.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True,
              help="The .npz that gets y0, in the model's own dtype.")  # fmt: skip
@verb
def command(ui: Ui, model: Path, source: Path, backend: str, output: Path) -> None:
    """Runs every sample through the model and writes its outputs."""
    refuse_to_overwrite(output, model, source)
    with about(model):
        loaded = Model.read(read_bytes(model, "model"), model.stem)
    samples = read_array(source, "x")
    loaded.check_samples(samples, f"{source}: x")
    with open_backend(backend, loaded) as forward:
        started = time.monotonic()
        with ui.progress("samples", len(samples)) as advance:
            result = forward(loaded.enter(samples), advance)
            advance(len(samples))
        seconds = time.monotonic() - started
    write_arrays(output, {"y0": loaded.leave(result.values)})
    document: dict[str, Any] = {
        "samples": len(samples),
        "seconds": round(seconds, 3),
        "output": str(output),
        "backend": backend,
    }
    text = f"{len(samples)} samples in {seconds:.2f} s: {output}"
    if result.instructions is not None:
        mean = sum(result.instructions) / len(result.instructions)
        document["instructions_per_sample"] = round(mean)
        text += f"\n{mean:,.0f} instructions per sample on {backend}"
    ui.result(document, Text(text))
