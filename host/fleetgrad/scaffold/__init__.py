# SPDX-License-Identifier: Apache-2.0
"""A new project: plan, data adapter, firmware of one's own, a workflow; it works as it is made."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jinja2

from fleetgrad import paths
from fleetgrad.boards import Board
from fleetgrad.errors import UsageError

_SUFFIX = ".j2"


@dataclass(frozen=True)
class Facts:
    """What a project's files depend on.

    Attributes:
        name: Of the project.
        board: That it is for.
        emulator: Debian's package of the board's emulator; empty where it has none.
        model: The .tflite file.
        shape: Of the model's input, without the batch.
        classes: Outputs of the model.
        low: Smallest real value that the model's input can take.
        high: Largest one.
    """

    name: str
    board: Board
    emulator: str
    model: bytes
    shape: tuple[int, ...]
    classes: int
    low: float
    high: float


def files_of(facts: Facts) -> dict[str, bytes]:
    """Every file of the project, by its path in it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fleetgrad.scaffold", "project"),
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
    )
    made = {
        name.removesuffix(_SUFFIX): environment.get_template(name).render(p=facts).encode()
        for name in environment.list_templates()
        if name.endswith(_SUFFIX)
    }
    sources = sorted((paths.home() / "examples" / "sensor").glob("*.[ch]"))
    made |= {f"firmware/{source.name}": source.read_bytes() for source in sources}
    return made | {"model.tflite": facts.model}


def create(folder: Path, facts: Facts) -> list[str]:
    """Writes a new project; the folder appears with everything in it, or not at all.

    Args:
        folder: It must not exist, or be empty.
        facts: What its files depend on.

    Returns:
        The paths in it, sorted.

    Raises:
        UsageError: There is something already, or it cannot be written.
    """
    files = files_of(facts)
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if folder.exists():
            raise UsageError(
                "there is something already", str(folder), "a folder that does not exist yet"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as fresh:
            inside = Path(fresh) / "project"
            for name, content in files.items():
                path = inside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            os.rename(inside, folder)  # noqa: PTH104 - all of it at once
    except OSError as error:
        raise UsageError(
            f"the project cannot be written: {error.strerror or error}", str(folder)
        ) from error
    return sorted(files)
