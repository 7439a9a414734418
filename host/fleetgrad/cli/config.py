# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad config show`: every key with its value, the file's, the default's or --set's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from fleetgrad.config import Config, find, load
from fleetgrad.errors import ConfigError

from .project import config_options
from .ui import Ui, verb


@click.group()
def command() -> None:
    """Shows the configuration."""


@command.command()
@verb
@config_options
def show(ui: Ui, config_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Prints every key and its value as TOML, defaults included."""
    path = config_path
    if path is None:
        try:
            path = find(Path.cwd())
        except ConfigError:
            if overrides:
                raise
            ui.note("no fleetgrad.toml here or above: these are the defaults")
    values = (Config() if path is None else load(path, overrides)).to_dict()
    document = {"path": None if path is None else str(path), "config": values}
    ui.result(document, as_toml(values, Config().to_dict()))


def as_toml(values: dict[str, dict[str, Any]], defaults: dict[str, dict[str, Any]]) -> Text:
    """Sections and keys as TOML; what differs from the default stands out."""
    text = Text(no_wrap=True)
    for section, keys in values.items():
        text.append(f"{'' if not text else chr(10)}[{section}]\n", style="bold")
        for key, value in keys.items():
            changed = value != defaults[section].get(key)
            # JSON's strings, numbers, booleans and flat lists are TOML's as well.
            text.append(f"{key} = {json.dumps(value)}\n", style="cyan" if changed else "")
    text.rstrip()
    return text
