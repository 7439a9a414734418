# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad models`: the versions of the global model, and back to any of them."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fleetgrad.report.units import percent
from fleetgrad.store import Store, Version

from .files import write_bytes
from .project import in_a_run_directory
from .ui import Ui, verb


@click.group()
def command() -> None:
    """Lists, compares, exports and rolls back versions of the global model."""


def document_of(version: Version) -> dict[str, Any]:
    """A version as --json shows it."""
    return {
        "version": version.version,
        "digest": version.digest,
        "parent": version.parent,
        "bundle": version.bundle,
        "run_id": version.run_id,
        "round": version.round,
        "accuracy": version.accuracy,
        "created_by": version.created_by,
    }


def table_of(versions: list[Version]) -> Table:
    """Versions, one per line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "parent", "accuracy", "digest", "made by"):
        right = heading in {"version", "parent", "accuracy"}
        table.add_column(heading, justify="right" if right else "left")
    for version in versions:
        table.add_row(
            str(version.version),
            "" if version.parent is None else str(version.parent),
            percent(version.accuracy),
            version.digest[:16],
            version.created_by,
        )
    return table


@command.command("list")
@verb
@in_a_run_directory
def list_versions(ui: Ui, directory: Path) -> None:
    """Lists every version with its parent, accuracy and origin."""
    with Store(directory, writing=False) as store:
        versions = store.ledger.versions()
    ui.result({"versions": [document_of(version) for version in versions]}, table_of(versions))


@command.command()
@click.argument("version", type=int)
@verb
@in_a_run_directory
def show(ui: Ui, directory: Path, version: int) -> None:
    """Shows one version, after checking its parameters against its digest."""
    with Store(directory, writing=False) as store:
        found = store.ledger.version(version)
        store.model(version)
    document = document_of(found)
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in document.items():
        shown = (
            percent(found.accuracy) if key == "accuracy" else "" if value is None else str(value)
        )
        table.add_row(key.replace("_", " "), shown)
    ui.result(document, table)


@command.command()
@click.argument("old", type=int)
@click.argument("new", type=int)
@verb
@in_a_run_directory
def diff(ui: Ui, directory: Path, old: int, new: int) -> None:
    """Compares two versions, tensor by tensor."""
    with Store(directory, writing=False) as store:
        differences = store.diff(old, new)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("tensor", "kind", "changed", "of", "largest", "mean"):
        table.add_column(heading, justify="left" if heading in {"tensor", "kind"} else "right")
    for one in differences:
        unit = " steps" if one.kind == "weight" else ""
        scale = 256 if one.kind == "weight" else 1  # in steps of the int8 weight, as exported
        table.add_row(
            one.name,
            one.kind,
            f"{one.changed:,}",
            f"{one.count:,}",
            f"{one.largest / scale:,.2f}{unit}",
            f"{one.mean / scale:,.2f}{unit}",
        )
    document = {"old": old, "new": new, "tensors": [asdict(one) for one in differences]}
    ui.result(document, table)


@command.command()
@click.argument("version", type=int)
@verb
@in_a_run_directory
def rollback(ui: Ui, directory: Path, version: int) -> None:
    """Makes an older version the current one, as a new version; nothing is deleted."""
    with Store(directory, writing=True) as store:
        made = store.rollback(version, time.time())
    ui.note(f"version {made.version} is version {version} again")
    ui.result(document_of(made), table_of([made]))


@command.command()
@click.option("--version", type=int, help="Which; by default the current one.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@verb
@in_a_run_directory
def export(ui: Ui, directory: Path, version: int | None, output: Path) -> None:
    """Writes a version as a .tflite with the learned weights."""
    with Store(directory, writing=False) as store:
        content = store.export(version)
        newest = store.newest()
    number = version if version is not None or newest is None else newest.version
    write_bytes(output, content)
    ui.note(f"version {number}: {output}, {len(content):,} bytes")
    ui.result({"version": number, "output": str(output), "bytes": len(content)})
