# SPDX-License-Identifier: Apache-2.0
"""Which parameters of a model that trains whole a choice would train.

One build then serves the trials of all choices: after every step the other parameters are put
back. Random numbers are keyed by layer, row and column, so where layers train whole this is bit for
bit what the choice's own build computes.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.program import Segment
from fleetgrad_codegen.search.space import Choice, Space

Mask = npt.NDArray[np.bool_]


def masks_of(space: Space) -> Callable[[Choice], Mask]:
    """What tells the mask of a choice: bool, one per byte of the whole model's parameter vector."""
    whole = {segment.tensor: segment for segment in space.training(space.whole()).segments}
    total = sum(segment.nbytes for segment in whole.values())

    def mask(choice: Choice) -> Mask:
        made = np.zeros(total, np.bool_)
        for segment in space.training(choice).segments:
            own = whole[segment.tensor]
            made[own.offset : own.offset + own.nbytes] = np.repeat(
                _trained(segment, own).reshape(-1), own.nbytes // own.count
            )
        return made

    return mask


def _trained(segment: Segment, whole: Segment) -> Mask:
    """Elements of a tensor that a segment holds."""
    if not segment.places:
        return np.ones(whole.shape, np.bool_)
    axes = zip(segment.places, segment.shape, strict=True)
    rows = [np.arange(size) if places is None else np.array(places) for places, size in axes]
    made = np.zeros(whole.shape, np.bool_)
    made[np.ix_(*rows)] = True
    return made
