# SPDX-License-Identifier: Apache-2.0
"""What stands beside the engine and makes versions: it folds updates in as they are recorded.

A driver of the engine shows it every action, in order, once those that concern the ledger are
committed; where it answers, the answer is an event for the engine.
"""

from collections.abc import Callable

from fleetgrad.device import Update
from fleetgrad.errors import RoundError
from fleetgrad.federation.actions import (
    Action,
    Aggregate,
    Aggregated,
    OpenRound,
    Record,
    RecordSum,
)
from fleetgrad.federation.cohort import KeptCohort
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel, Layout
from fleetgrad.federation.partial import Fold, PartialSum, numpy_fold
from fleetgrad.federation.strategies import Averaging, Cohort, Next, Strategy


class Aggregator:
    """Makes the versions of one run.

    Args:
        strategy: How.
        layout: Of the parameters.
        memory: What the strategy left with the version that the run has come to.
        cohort: The updates of a round, for a robust strategy; by default they are kept here.
        fold: Does the adding.
    """

    def __init__(
        self,
        strategy: Strategy,
        layout: Layout,
        memory: bytes = b"",
        cohort: Callable[[int], Cohort] | None = None,
        fold: Fold = numpy_fold,
    ) -> None:
        self._strategy = strategy
        self._layout = layout
        self._memory = memory
        self._cohort = cohort
        self._fold = fold
        self._kept: dict[int, Update] = {}
        self._total = self._nothing()

    def follow(self, action: Action) -> Aggregated | None:
        """Takes an action of the engine; answers the one that asks for a version.

        Raises:
            RoundError: No version can be made.
        """
        match action:
            case OpenRound(attempt=0):
                self.begin()
            case Record() if action.update.exponents:  # else it has been evaluated, nothing more
                self.add(action.device, action.update, action.facts)
            case RecordSum() if action.part.weights[0]:
                self.merge(action.part)
            case Aggregate():
                made = self.finish(action.model, action.round)
                return Aggregated(action.round, made.model, made.memory)
            case _:
                pass
        return None

    def begin(self) -> None:
        """Forgets the updates of the round before."""
        self._kept.clear()
        self._total = self._nothing()

    def add(self, device: int, update: Update, facts: Facts) -> None:
        """Folds an update in: one that is recorded, or was before an interruption.

        Raises:
            RoundError: A sum could leave 64 bits.
        """
        if isinstance(self._strategy, Averaging):
            self._total.add(device, update, self._strategy.weigh(facts))
        elif self._cohort is None:
            self._kept[device] = update

    def merge(self, part: PartialSum) -> None:
        """Folds in a sum that somebody else has made, with the weights of the same strategy.

        Raises:
            RoundError: A sum could leave 64 bits, or the strategy needs the updates themselves.
        """
        if not isinstance(self._strategy, Averaging):
            raise RoundError(f"{self._strategy.name} needs the updates that a gateway has summed")
        self._total.merge(part)

    def finish(self, model: GlobalModel, number: int) -> Next:
        """The version that the updates at hand make of another one.

        Args:
            model: The version that the devices trained from.
            number: The round.

        Raises:
            RoundError: No version can be made.
        """
        if isinstance(self._strategy, Averaging):
            made = self._strategy.finish(model, self._total, self._memory)
        else:
            cohort = KeptCohort(self._kept) if self._cohort is None else self._cohort(number)
            made = self._strategy.combine(model, cohort, self._memory)
        self._memory = made.memory
        return made

    def _nothing(self) -> PartialSum:
        numbers = self._strategy.numbers if isinstance(self._strategy, Averaging) else 1
        return PartialSum.empty(self._layout, numbers, self._fold)
