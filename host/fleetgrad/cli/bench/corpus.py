# SPDX-License-Identifier: Apache-2.0
"""The models that benches run over: a folder of .tflite files, or the digits example."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fleetgrad import paths
from fleetgrad.errors import UsageError
from fleetgrad_codegen.errors import CodegenError

from ..backends import Model
from ..files import read_bytes

DATA_VARIABLE = "FLEETGRAD_DATA"


@dataclass(frozen=True)
class Refused:
    """A model that is not int8, or has an operator that is not supported.

    Attributes:
        name: Of the model.
        why: In one line.
    """

    name: str
    why: str


def models_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a bench --models, as `models`."""
    return click.option(
        "--models",
        type=click.Path(path_type=Path),
        help=f"Folder of .tflite files; by default ${DATA_VARIABLE}/models, else the digits model.",
    )(function)


def model_files(models: Path | None) -> list[Path]:
    """The files to run over, in order.

    Raises:
        UsageError: The folder holds no model.
    """
    if models is None and DATA_VARIABLE not in os.environ:
        return [paths.home() / "examples" / "digits" / "digits.tflite"]
    folder = models or Path(os.environ[DATA_VARIABLE]) / "models"
    found = sorted(folder.glob("*.tflite"))
    if not found:
        raise UsageError("there is no .tflite file here", str(folder), hint="--models DIR")
    return found


def read_corpus(models: Path | None) -> tuple[list[tuple[Path, Model]], list[Refused]]:
    """Every model that can run, and every one that cannot with its reason."""
    usable: list[tuple[Path, Model]] = []
    refused: list[Refused] = []
    for path in model_files(models):
        try:
            usable.append((path, Model.read(read_bytes(path, "model"), path.stem)))
        except CodegenError as error:
            refused.append(Refused(path.stem, error.what))
    return usable, refused
