# SPDX-License-Identifier: Apache-2.0
"""How updates become the next version: one file for every strategy."""

from collections.abc import Mapping
from typing import Any, Final

from fleetgrad.errors import ConfigError
from fleetgrad.federation.strategies.base import Averaging, Cohort, Next, Robust, Strategy
from fleetgrad.federation.strategies.fedavg import FedAvg
from fleetgrad.federation.strategies.robust import RULES
from fleetgrad.federation.strategies.server import AVERAGING
from fleetgrad.settings import options_of

_KINDS: Final[tuple[type[Strategy], ...]] = (FedAvg, *AVERAGING, *RULES)

STRATEGIES: Final[Mapping[str, type[Strategy]]] = {kind.name: kind for kind in _KINDS}
"""By name."""


def make_strategy(
    name: str,
    options: Mapping[str, Any],
    train: Mapping[str, Any],
    where: str = "strategy",
) -> Strategy:
    """A strategy with its options.

    Args:
        name: Of the strategy.
        options: Those that are not to be the defaults.
        train: Terms of training: the section of that name.
        where: What to call the options in errors.

    Raises:
        ConfigError: There is no such strategy, or it has no such option, or not of that value.
    """
    if name not in STRATEGIES:
        raise ConfigError(
            f"there is no strategy {name!r}", f"{where}.name", f"one of {', '.join(STRATEGIES)}"
        )
    made = options_of(STRATEGIES[name], options, f"strategy {name}", where)
    return made.under(**{key: int(train[key]) for key in ("epochs", "batch", "max_steps")})


__all__ = [
    "STRATEGIES",
    "Averaging",
    "Cohort",
    "FedAvg",
    "Next",
    "Robust",
    "Strategy",
    "make_strategy",
]
