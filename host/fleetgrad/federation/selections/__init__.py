# SPDX-License-Identifier: Apache-2.0
"""Which devices take part in a round: one file for every way to choose."""

from collections.abc import Mapping
from typing import Any, Final

from fleetgrad.errors import ConfigError
from fleetgrad.federation.selections.base import Candidate, Draw, Selection
from fleetgrad.federation.selections.by_data import ByData
from fleetgrad.federation.selections.power_of_choice import PowerOfChoice
from fleetgrad.federation.selections.uniform import Uniform
from fleetgrad.settings import options_of

_KINDS: Final[tuple[type[Selection], ...]] = (Uniform, ByData, PowerOfChoice)

SELECTIONS: Final[Mapping[str, type[Selection]]] = {kind.name: kind for kind in _KINDS}
"""By name."""


def make_selection(name: str, options: Mapping[str, Any]) -> Selection:
    """A selection with its options.

    Args:
        name: Of the selection.
        options: Those that are not to be the defaults.

    Raises:
        ConfigError: There is no such selection, or it has no such option, or not of that value.
    """
    if name not in SELECTIONS:
        raise ConfigError(
            f"there is no selection {name!r}", "selection.name", f"one of {', '.join(SELECTIONS)}"
        )
    return options_of(SELECTIONS[name], options, f"selection {name}", "selection")


__all__ = [
    "SELECTIONS",
    "ByData",
    "Candidate",
    "Draw",
    "PowerOfChoice",
    "Selection",
    "Uniform",
    "make_selection",
]
