# SPDX-License-Identifier: Apache-2.0
"""A search's result as a scheme file: for people to read and change, and to train with."""

import hashlib
import json
from dataclasses import dataclass

from fleetgrad_codegen.search.auto import Found, Row


@dataclass(frozen=True, slots=True)
class Origin:
    """What a result follows from, besides model and limits.

    Attributes:
        board: Whose limits they are; empty for none.
        data_sha256: Of the proxy data, hex.
        samples: That trials trained on.
        heldout: That they were scored on.
        epochs: Over these samples.
        learning_rate: Of the trials.
        seed: Of the first trial.
        seeds: Trials of each choice.
    """

    board: str
    data_sha256: str
    samples: int
    heldout: int
    epochs: int
    learning_rate: float
    seed: int
    seeds: int


def scheme_toml(found: Found, origin: Origin) -> str:
    """The scheme file.

    Args:
        found: The search.
        origin: Where it came from.

    Returns:
        TOML that `fleetgrad_codegen.scheme.read_scheme` takes; the same for the same arguments.
    """
    chosen, space, limits = found.chosen, found.space, found.limits
    accuracy = chosen.measured.accuracy
    tried = f"{chosen.measured.loss:g}"
    if accuracy is not None:
        tried += f", accuracy {100 * accuracy:.1f} %"
    time = [] if limits.instructions is None else [f"max_instructions = {limits.instructions}"]
    lines = [
        f"# What trains of {space.name}. Found by a search; yours to change.",
        "#",
        "# ratio is the share of output channels whose weights train, besides the bias: 0 is the",
        "# bias alone, 1 everything. A layer without an entry does not train. gain, ram_bytes,",
        "# flash_bytes and instructions are predictions that nothing reads: by how much the row",
        "# lowers the logarithm of the held-out loss, and what leaving it out would save.",
        "# `fleetgrad plan MODEL --scheme THIS.toml` tells the cost after a change.",
        "",
        f'model = "{hashlib.sha256(space.model).hexdigest()}" # SHA-256 of the .tflite file',
        "",
        "[search]",
        f"classes = {space.last.classes or 0} # of a new last layer; 0: the model's own",
        f'loss = "{space.loss.value}"',
        f"board = {_text(origin.board)}",
        f"max_ram_bytes = {limits.ram_bytes}",
        f"max_flash_bytes = {limits.flash_bytes}",
        *time,
        f"ram_bytes = {chosen.cost.ram_bytes} # as planned",
        f"flash_bytes = {chosen.cost.flash_bytes}",
        f"instructions = {chosen.cost.instructions} # of a training step, about",
        f"predicted_gain = {chosen.predicted.gain}",
        f"measured_gain = {chosen.gain} # held-out loss {found.before.loss:g} -> {tried}",
        f"standard_error = {found.standard_error:.4f} # of a gain; smaller ones count as none",
        f"learning_rate = {origin.learning_rate!r}",
        f"epochs = {origin.epochs}",
        f"samples = {origin.samples}",
        f"heldout = {origin.heldout}",
        f"seed = {origin.seed}",
        f"seeds = {origin.seeds}",
        f'data_sha256 = "{origin.data_sha256}"',
        *(line for row in found.rows for line in _row(row)),
    ]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> list[str]:
    what = "bias alone" if not row.channels else f"{row.channels} of {row.of} channels"
    return [
        "",
        "[[layer]]",
        f"op = {row.op} # {_comment(row.name)}",
        f"ratio = {row.ratio:g} # {what}",
        f"gain = {row.gain}",
        f"ram_bytes = {row.saves.ram_bytes}",
        f"flash_bytes = {row.saves.flash_bytes}",
        f"instructions = {row.saves.instructions}",
    ]


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _comment(name: str) -> str:
    """A tensor's name in one line of printable characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
