# SPDX-License-Identifier: Apache-2.0
"""The configuration that a verb works with: the file, and what --set changes in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from fleetgrad.config import Config, find, load

from .ui import Ui

P = ParamSpec("P")


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a verb --config and --set, as `config_path` and `overrides`."""
    config = click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="The fleetgrad.toml to use; else the nearest one above the working directory.",
    )
    override = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Overrides one key; may be repeated.",
    )
    return config(override(function))


def configured(
    function: Callable[Concatenate[Ui, Config, P], None],
) -> Callable[Concatenate[Ui, P], None]:
    """Gives a verb --config and --set, and hands it the loaded `Config` after its `Ui`."""

    @config_options
    @wraps(function)
    def with_config(
        ui: Ui, *args: Any, config_path: Path | None, overrides: tuple[str, ...], **kwargs: Any
    ) -> None:
        path = find(Path.cwd()) if config_path is None else config_path
        ui.detail(f"config: {path}")
        function(ui, load(path, overrides), *args, **kwargs)

    return with_config
