# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad new DIR`: a project that builds, runs and learns as it is made."""

from __future__ import annotations

import math
from pathlib import Path

import click
from rich.text import Text

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.errors import UsageError
from fleetgrad.scaffold import Facts, create
from fleetgrad_codegen.inspect import Inspection, inspect_model

from .doctor import PROGRAMS
from .files import about, read_bytes
from .ui import Ui, verb

INT8 = (-128, 127)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--board", "board_id", default="mps2_an386", show_default=True, help="What it runs on."
)
@click.option(
    "--model", type=click.Path(path_type=Path), help="An int8 .tflite; the digits model by default."
)
@verb
def command(ui: Ui, directory: Path, board_id: str, model: Path | None) -> None:
    """Makes a project in DIRECTORY: plan, data adapter, firmware, README, CI workflow."""
    board = load_board(paths.boards(), board_id)
    source = model or paths.home() / "examples" / "digits" / "digits.tflite"
    data = read_bytes(source, "model")
    with about(source):
        shape, classes, low, high = _ends(inspect_model(data, source.stem), source)
    wanted = {f"{board.compiler.family}-gcc", board.qemu.program if board.qemu else ""}
    packages = " ".join(program.package for program in PROGRAMS if program.name in wanted)
    name = directory.resolve().name
    facts = Facts(name, board, packages, data, shape, classes, low, high)
    files = create(directory, facts)
    told = f"{directory}: {', '.join(files)}\nits README.md says how to go on"
    ui.result({"directory": str(directory), "files": files}, Text(told))


def _ends(model: Inspection, source: Path) -> tuple[tuple[int, ...], int, float, float]:
    """Shape of a sample, number of classes, and the range of the input's real values.

    Raises:
        UsageError: The model does not run, or has other ends than a project's data adapter fills.
    """
    if model.problem is not None:
        raise model.problem
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UsageError(
            f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs",
            str(source),
            "one of each",
        )
    given, out = model.inputs[0], model.outputs[0]
    low, high = 0.0, 1.0
    if given.scale is not None and given.zero_point is not None:
        low, high = (given.scale * (limit - given.zero_point) for limit in INT8)
    return given.shape[1:], math.prod(out.shape), float(f"{low:.6g}"), float(f"{high:.6g}")
