# SPDX-License-Identifier: Apache-2.0
"""From a config to a generated model: where codegen's schemes meet the host's boards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from fleetgrad.boards import Board
from fleetgrad.config import LOSSES, Config, SchemeConfig
from fleetgrad.errors import ConfigError, UsageError
from fleetgrad_codegen.bundle import Bundle, Ranges, Scheme, generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.plan import Budget
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Lora, Sparse, find_head, read_scheme

from .files import about, read_bytes

# What the runtime itself may take of a board; the linker has the last word.
RUNTIME_FLASH_BYTES: Final = 24 * 1024
RUNTIME_RAM_BYTES: Final = 4 * 1024

SCHEME_FILE_SUFFIX: Final = ".toml"

# Of the kernels on a Cortex-M4, all in all: `fleetgrad bench kernels` finds 3 (large layers) to 9
# (small ones). Good enough to tell milliseconds from minutes before anything is built.
INSTRUCTIONS_PER_MAC: Final = 5

# Not a scheme of its own: a search that writes a scheme file.
AUTO: Final = "auto"
AUTO_HINT: Final = "fleetgrad plan --scheme auto -o FILE.toml finds one; then --scheme FILE.toml"


def _none(settings: SchemeConfig) -> Scheme | None:
    del settings
    return None


def last_layer_of(settings: SchemeConfig) -> LastLayer:
    """How the configured scheme adapts the last layer."""
    return LastLayer(headroom=settings.headroom, classes=settings.classes or None)


def _bias(settings: SchemeConfig) -> Scheme | None:
    return Bias(last=last_layer_of(settings), layers=settings.layers)


def _sparse(settings: SchemeConfig) -> Scheme | None:
    return Sparse(last=last_layer_of(settings), layers=settings.layers, ratio=settings.ratio)


def _full(settings: SchemeConfig) -> Scheme | None:
    return Full(last=last_layer_of(settings), layers=settings.layers)


def _lora(settings: SchemeConfig) -> Scheme | None:
    return Lora(last=last_layer_of(settings), layers=settings.layers, rank=settings.rank)


def _file(settings: SchemeConfig) -> Scheme | None:
    if settings.file == Path():
        raise ConfigError("no scheme file", "scheme.file", "a .toml file that names layers")
    text = read_bytes(settings.file, "scheme file").decode("utf-8", "replace")
    return read_scheme(text, settings.file.name, last=last_layer_of(settings))


# What scheme.name may be. "none" is a model that only infers.
SCHEMES: Final[dict[str, Callable[[SchemeConfig], Scheme | None]]] = {
    "last-layer": last_layer_of,
    "bias": _bias,
    "sparse": _sparse,
    "full": _full,
    "lora": _lora,
    "file": _file,
    "none": _none,
}


class SchemeName(click.ParamType[str]):
    """The value of --scheme: a name, or a scheme file.

    Args:
        trains: Whether "none" is left out.
        searches: Whether "auto" may be asked for.
    """

    name = "SCHEME"

    def __init__(self, *, trains: bool = False, searches: bool = False) -> None:
        self._names = [
            name for name in SCHEMES if name != "file" and not (trains and name == "none")
        ]
        if searches:
            self._names.insert(0, AUTO)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """What the help text shows."""
        return f"[{'|'.join(self._names)}|FILE.toml]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accepts a known name, or what looks like a scheme file."""
        if value in self._names or value.endswith(SCHEME_FILE_SUFFIX):
            return value
        if value == AUTO:
            raise UsageError("the scheme auto is a search", "--scheme", hint=AUTO_HINT)
        return self.fail(
            f"{value!r} is not one of {', '.join(self._names)}, or a .toml file", param, ctx
        )


def with_scheme(config: Config, scheme: str) -> Config:
    """The same config with another scheme, by name or file."""
    if scheme.endswith(SCHEME_FILE_SUFFIX):
        chosen = replace(config.scheme, name="file", file=Path(scheme).absolute())
    else:
        chosen = replace(config.scheme, name=scheme)
    return replace(config, scheme=chosen)


loss_option = click.option(
    "--loss", type=click.Choice(LOSSES), help="Instead of scheme.loss; auto asks the model."
)


def with_loss(config: Config, loss: str | None) -> Config:
    """The same config with another loss; None changes nothing."""
    if loss is None:
        return config
    return replace(config, scheme=replace(config.scheme, loss=loss))


def scheme_of(config: Config) -> Scheme | None:
    """The configured scheme; None for a model that only infers.

    Raises:
        ConfigError: There is no such scheme.
        UsageError: Its file cannot be read.
        CodegenError: A setting that no model could use.
    """
    name = config.scheme.name
    if name == AUTO:
        raise ConfigError("the scheme auto is a search", "scheme.name", hint=AUTO_HINT)
    if name not in SCHEMES:
        raise ConfigError(
            f"there is no scheme {name!r}", "scheme.name", f"one of {', '.join(SCHEMES)}"
        )
    return SCHEMES[name](config.scheme)


def budget_of(board: Board) -> Budget:
    """What a board has left for the model, in all its memories; the linker has the last word."""
    return Budget(
        flash_bytes=max(board.flash_bytes - RUNTIME_FLASH_BYTES, 0),
        ram_bytes=max(board.ram_bytes - RUNTIME_RAM_BYTES - board.stack_bytes, 0)
        + sum(region.bytes for region in board.regions),
    )


def loss_of(config: Config, model: bytes) -> Loss:
    """The configured loss; `auto` looks at what the model ends in.

    A model that ends in SOFTMAX, or gets a new head for classes, learns by cross-entropy, one that
    ends in LOGISTIC by binary cross-entropy; any other learns to give the right values, by squared
    error.
    """
    if config.scheme.loss != "auto":
        return Loss(config.scheme.loss)
    if config.scheme.classes:
        return Loss.SOFTMAX_CROSS_ENTROPY
    site = find_head(read_model(model, config.model_name))
    if site.softmax:
        return Loss.SOFTMAX_CROSS_ENTROPY
    return Loss.BINARY_CROSS_ENTROPY if site.logistic else Loss.SQUARED_ERROR


def make_bundle(config: Config, board: Board | None, scheme: str | None = None) -> Bundle:
    """Generates the configured model.

    Args:
        config: Model, scheme and batch.
        board: Whose memory it must fit; None for no limit.
        scheme: Instead of the configured one.

    Returns:
        The bundle, in memory.

    Raises:
        ConfigError: There is no such scheme.
        UsageError: The model cannot be read.
        CodegenError: The model, the scheme or the board does not allow it.
    """
    chosen = scheme_of(config if scheme is None else with_scheme(config, scheme))
    path = config.model.path
    content = read_bytes(path, "model")
    with about(path):
        return generate(
            content,
            config.model_name,
            scheme=chosen,
            loss=Loss.NONE if chosen is None else loss_of(config, content),
            batch=config.train.batch,
            recomputing=config.scheme.recompute,
            paging=config.scheme.page,
            board_budget=None if board is None else budget_of(board),
            ranges=ranges_of(config),
        )


def ranges_of(config: Config) -> Ranges | None:
    """What may happen to activation scales; None where nothing may."""
    grow, front = config.ranges.grow != "off", config.ranges.front
    return Ranges(grow, front) if grow or front else None
