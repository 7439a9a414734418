# SPDX-License-Identifier: Apache-2.0
"""From a config to a generated model: where codegen's schemes meet the host's boards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fleetgrad.boards import Board
from fleetgrad.config import Config, SchemeConfig
from fleetgrad.errors import ConfigError
from fleetgrad_codegen.bundle import Bundle, Scheme, generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.plan import Budget
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer, find_head

from .files import about, read_bytes

# What the runtime itself may take of a board; the linker has the last word.
RUNTIME_FLASH_BYTES: Final = 24 * 1024
RUNTIME_RAM_BYTES: Final = 4 * 1024


def _none(settings: SchemeConfig) -> Scheme | None:
    del settings
    return None


def _last_layer(settings: SchemeConfig) -> Scheme | None:
    return LastLayer(headroom=settings.headroom, classes=settings.classes or None)


# What scheme.name may be. "none" is a model that only infers.
SCHEMES: Final[dict[str, Callable[[SchemeConfig], Scheme | None]]] = {
    "last-layer": _last_layer,
    "none": _none,
}


def budget_of(board: Board) -> Budget:
    """What a board has left for the model."""
    return Budget(
        flash_bytes=max(board.flash_bytes - RUNTIME_FLASH_BYTES, 0),
        ram_bytes=max(board.ram_bytes - RUNTIME_RAM_BYTES - board.stack_bytes, 0),
    )


def loss_of(config: Config, model: bytes) -> Loss:
    """The configured loss; `auto` looks at what the model ends in.

    A model that ends in SOFTMAX, or gets a new head for classes, learns by cross-entropy; any other
    learns to give the right values, by squared error.
    """
    if config.scheme.loss != "auto":
        return Loss(config.scheme.loss)
    if config.scheme.classes or find_head(read_model(model, config.model_name)).softmax:
        return Loss.SOFTMAX_CROSS_ENTROPY
    return Loss.SQUARED_ERROR


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
    name = config.scheme.name if scheme is None else scheme
    if name not in SCHEMES:
        raise ConfigError(
            f"there is no scheme {name!r}", "scheme.name", f"one of {', '.join(SCHEMES)}"
        )
    path = config.model.path
    content = read_bytes(path, "model")
    with about(path):
        chosen = SCHEMES[name](config.scheme)
        return generate(
            content,
            config.model_name,
            scheme=chosen,
            loss=Loss.NONE if chosen is None else loss_of(config, content),
            batch=config.train.batch,
            board_budget=None if board is None else budget_of(board),
        )
