# SPDX-License-Identifier: Apache-2.0
"""What a strategy is: how a round's updates become the next version.

There are two kinds. An `Averaging` strategy gives every update an integer weight when it is
accepted; after that only the sum is left, and gateways and shards may have made parts of it. A
`Robust` strategy has to compare updates with each other: it reads them from where they are kept, in
blocks of coordinates, as often as it likes.

Strategies are frozen dataclasses whose fields are their options; ``metadata["check"]`` narrows an
option as in `fleetgrad.config`. They keep nothing: what one has to remember from version to
version, such as momentum, is bytes that come in and go out, and are stored with the version.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Update
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel, Layout
from fleetgrad.federation.partial import PartialSum


@dataclass(frozen=True)
class Next:
    """What a strategy makes of a round.

    Attributes:
        model: The next version.
        memory: What the strategy wants back in the next round; empty: nothing. A change of units
            between the two rounds is the strategy's to mind: see `GlobalModel.doublings_since`.
    """

    model: GlobalModel
    memory: bytes = b""


class Cohort(Protocol):
    """The updates of a round, by ascending device id, where they are kept.

    Attributes:
        devices: Their ids.
        facts: What else is known of each, in the same order.
    """

    @property
    def devices(self) -> Sequence[int]:
        """Ids, ascending."""

    @property
    def facts(self) -> Sequence[Facts]:
        """In the same order."""

    def block(self, start: int, stop: int) -> NDArray[np.int8]:
        """The deltas of all devices in a range of parameters: int8 [devices, stop - start].

        They stand for themselves times 2^exponent, with each device's exponent of the segment;
        `fleetgrad.federation.cohort.blocks` gives them in one unit.
        """


class _Base(ABC):
    """What both kinds have.

    Attributes:
        name: As ``strategy.name`` in fleetgrad.toml.
    """

    name: ClassVar[str]

    def under(self, *, epochs: int, batch: int, max_steps: int) -> Self:
        """The strategy for a run with these terms of training, for one that reads them.

        Args:
            epochs: ``train.epochs``.
            batch: ``train.batch``.
            max_steps: ``train.max_steps``.
        """
        del epochs, batch, max_steps
        return self

    @property
    def least(self) -> int:
        """The smallest cohort it is good for: a round with fewer updates makes no version."""
        return 1

    def refusal(self, update: Update, layout: Layout) -> str:
        """Why an update must not count, in words, e.g. a norm beyond bounds; empty: it may."""
        del update, layout
        return ""


class Averaging(_Base):
    """A strategy that needs the sum of the updates alone."""

    numbers: ClassVar[int] = 1
    """How many numbers `weigh` gives."""

    @property
    def by_samples(self) -> bool:
        """Whether `weigh` gives the samples and nothing else, and `refusal` refuses nothing.

        Then a virtual fleet need not look at its updates one by one.
        """
        return False

    @abstractmethod
    def weigh(self, facts: Facts) -> tuple[int, ...]:
        """The weight of an update, and whatever else must be summed over the devices.

        Args:
            facts: Of the update.

        Returns:
            Integers of at least 0; the first is what deltas are multiplied by.
        """

    @abstractmethod
    def finish(self, model: GlobalModel, total: PartialSum, memory: bytes) -> Next:
        """Makes the next version.

        Args:
            model: The version that the devices trained from.
            total: The sum over at least `least` updates.
            memory: What the version before left; empty after a version of anything else.

        Raises:
            RoundError: No version can be made of these.
        """


class Robust(_Base):
    """A strategy that needs to see every update."""

    @abstractmethod
    def combine(self, model: GlobalModel, cohort: Cohort, memory: bytes) -> Next:
        """Makes the next version; as `Averaging.finish`, of the updates themselves.

        Args:
            model: The version that the devices trained from.
            cohort: At least `least` updates.
            memory: What the version before left.

        Raises:
            RoundError: No version can be made of these.
        """


Strategy: TypeAlias = Averaging | Robust
