# SPDX-License-Identifier: Apache-2.0
"""The configuration that a verb works with: the file, and what --set changes in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from fleetgrad.config import Config, find, from_tables, load
from fleetgrad.errors import ConfigError

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


def configured_for_a_model(
    function: Callable[Concatenate[Ui, Config, P], None],
) -> Callable[Concatenate[Ui, P], None]:
    """As `configured`, for verbs that take a MODEL: it replaces the config's, or stands alone.

    A config file is used where there is one; without one, everything but the model has its default.
    """

    @click.argument("model", type=click.Path(path_type=Path), required=False)
    @config_options
    @wraps(function)
    def with_config(
        ui: Ui,
        *args: Any,
        model: Path | None,
        config_path: Path | None,
        overrides: tuple[str, ...],
        **kwargs: Any,
    ) -> None:
        path = config_path
        if path is None:
            try:
                path = find(Path.cwd())
            except ConfigError:
                if model is None:
                    raise
        if model is not None:
            overrides = (*overrides, f"model.path={model.absolute()}", "model.name=")
        if path is not None:
            ui.detail(f"config: {path}")
            config = load(path, overrides)
        else:
            config = from_tables({}, overrides, base=Path.cwd(), source="command line")
        function(ui, config, *args, **kwargs)

    return with_config


def in_a_run_directory(
    function: Callable[Concatenate[Ui, Path, P], None],
) -> Callable[Concatenate[Ui, P], None]:
    """Gives a verb --dir, and hands it that run directory, or the configured one."""

    @click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        help="The run directory; by default the configured run.dir.",
    )
    @config_options
    @wraps(function)
    def with_directory(
        ui: Ui,
        *args: Any,
        directory: Path | None,
        config_path: Path | None,
        overrides: tuple[str, ...],
        **kwargs: Any,
    ) -> None:
        if directory is None:
            path = find(Path.cwd()) if config_path is None else config_path
            directory = load(path, overrides).run.dir
        function(ui, directory, *args, **kwargs)

    return with_directory
