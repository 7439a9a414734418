# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad devices`: which boards answer, on which ports, and what is wrong with the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fleetgrad.config import FleetConfig, find, load
from fleetgrad.errors import ConfigError
from fleetgrad.fleet import Panel, Sighting

from .ui import Ui, verb


def document_of(sighting: Sighting) -> dict[str, Any]:
    """A port as --json shows it; the keys of the device are null where none answers."""
    identity = sighting.identity
    return {
        "port": sighting.url,
        "id": None if identity is None else f"{identity.device:016x}",
        "model_digest": None if identity is None else identity.model_digest.hex(),
        "train_samples": None if identity is None else identity.train_samples,
        "eval_samples": None if identity is None else identity.eval_samples,
        "round": None if identity is None else identity.holds_round,
        "boots": None if identity is None else identity.boots,
        "store_bytes": None if identity is None else identity.store_bytes,
        "store_erases": None if identity is None else identity.store_erases,
        "problem": sighting.problem,
        "hint": sighting.hint,
    }


def table_of(found: list[Sighting]) -> Table:
    """Ports, one per line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("port", "device", "model", "training", "held out", "holds", "store"):
        table.add_column(
            heading, justify="right" if heading in {"training", "held out"} else "left"
        )
    for sighting in found:
        identity = sighting.identity
        if identity is None:
            problem = f"{sighting.problem} ({sighting.hint})" if sighting.hint else sighting.problem
            table.add_row(sighting.url, "", "", "", "", problem, "")
            continue
        table.add_row(
            sighting.url,
            f"{identity.device:016x}",
            identity.model_digest.hex(),
            str(identity.train_samples),
            str(identity.eval_samples),
            f"the update of round {identity.holds_round}" if identity.holds_round else "no update",
            f"{identity.store_erases} erasures" if identity.store_bytes else "none",
        )
    return table


def _project() -> FleetConfig:
    """What the nearest fleetgrad.toml says of ports; the defaults where there is none."""
    try:
        path = find(Path.cwd())
    except ConfigError:
        return FleetConfig()
    return load(path).fleet


@click.command()
@click.argument("ports", nargs=-1)
@click.option("--wait", type=click.FloatRange(0.1, 600.0), default=3.0, help="Seconds, at most.")
@click.option("--baud", type=click.IntRange(300, 12_000_000), help="Bits per second.")
@verb
def command(ui: Ui, ports: tuple[str, ...], wait: float, baud: int | None) -> None:
    """Lists what answers on PORTS, or on those of fleetgrad.toml, or on every USB port."""
    known = _project()
    panel = Panel(ports or known.ports, baud or known.baud)
    try:
        found = panel.sightings(
            lambda seen: bool(seen) and all(s.identity is not None for s in seen), wait
        )
    finally:
        panel.stop()
    if not found:
        ui.note("no port is there")
    ui.result({"devices": [document_of(one) for one in found]}, table_of(found))
