# SPDX-License-Identifier: Apache-2.0
"""Proxy data: stands in for what boards will see; checked before anything is measured on it."""

from dataclasses import dataclass
from typing import Final

from fleetgrad_codegen.errors import DataError
from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.training import rng

FEWEST: Final = 16
"""Samples of a part: with fewer of them a score says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class ProxyData:
    """Samples to train on and held-out ones.

    Attributes:
        train_x: int8 [samples, values].
        train_y: Labels [samples], or int8 vectors [samples, values].
        eval_x: Held out, likewise.
        eval_y: Held out, likewise.
    """

    train_x: Array
    train_y: Array
    eval_x: Array
    eval_y: Array


def proxy_data(data: ProxyData, *, source: str, samples: int, heldout: int, seed: int) -> ProxyData:
    """Checks proxy data, and draws the samples that a search uses.

    Args:
        data: All of it, quantised, labels within the model's classes.
        source: The file, for errors.
        samples: Most samples to train on; 0 for all.
        heldout: Most held-out samples; 0 for all.
        seed: Of the draw.

    Raises:
        DataError: There are too few samples, they are all the same, or all of one class.
    """
    for x, what in ((data.train_x, "to train on"), (data.eval_x, "held out")):
        if len(x) < FEWEST:
            raise DataError(
                f"{len(x)} proxy samples {what}",
                source,
                f"at least {FEWEST}",
                "more data, another data.holdout, or a larger data.limit",
            )
    drawn = ProxyData(
        *_draw(data.train_x, data.train_y, samples, seed, 0),
        *_draw(data.eval_x, data.eval_y, heldout, seed, 1),
    )
    parts = ((drawn.train_x, drawn.train_y, ""), (drawn.eval_x, drawn.eval_y, "held-out "))
    for x, y, which in parts:
        if (x == x[0]).all():
            raise DataError(
                f"all {len(x)} {which}proxy samples are the same in the model's int8 input",
                f"{source}: x",
                "samples that differ",
                "check their scale: the model's input quantisation may clip or swallow them",
            )
        if y.ndim == 1 and (y == y[0]).all():
            raise DataError(
                f"all {len(y)} {which}proxy samples are of class {int(y[0])}",
                f"{source}: y",
                "at least two classes",
            )
    return drawn


def _draw(x: Array, y: Array, most: int, seed: int, part: int) -> tuple[Array, Array]:
    """Some samples in a random order that depends on nothing but its arguments."""
    order = rng.sample_order(rng.round_key(seed, part, 0), 0, len(x))[: most or None]
    return x[order], y[order]
