# SPDX-License-Identifier: Apache-2.0
"""The best choices at several RAM limits, each confirmed by the planner."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from fleetgrad_codegen.search.costs import Cost, CostModel, Limits, planned_cost
from fleetgrad_codegen.search.instructions import Rates
from fleetgrad_codegen.search.predict import Predictor
from fleetgrad_codegen.search.solve import Item, SearchLimitError, Start, selections
from fleetgrad_codegen.search.space import Choice, Space

POINTS: Final = 6
"""RAM limits that are searched, the one given included."""
_UNITS: Final = (1e-4, 1e-3, 1e-2)
"""Nats that gains are counted in; coarser ones where the search takes too long with finer ones."""
_REPLANS: Final = 64
"""Choices that are planned for good at one limit before it is given up."""


class Frontier:
    """A space as a knapsack: starts are numbers of layers, groups are their weights.

    Args:
        space: What to choose from.
        costs: Of its rows.
        predictor: Gains of its rows.
        rates: Instruction costs of the board's kernels.

    Attributes:
        unit: Nats that gains are counted in.
    """

    def __init__(self, space: Space, costs: CostModel, predictor: Predictor, rates: Rates) -> None:
        self._space = space
        self._costs = costs
        self._predictor = predictor
        self._rates = rates
        self.unit = _UNITS[0]

    def best(self, limits: Limits) -> list[Choice]:
        """Those at the RAM limit given, then at lower ones down to near the smallest scheme's.

        Raises:
            SearchLimitError: Not even the coarsest unit makes it quick enough.
        """
        best = self._best(limits)
        found = [best]
        low = self._costs.base(1).cost.ram_bytes
        high = self._costs.cost(best).ram_bytes
        for place in range(POINTS - 2, 0, -1):
            ram = int(low * (high / low) ** (place / (POINTS - 1)))
            found.append(self._best(Limits(ram, limits.flash_bytes, limits.instructions)))
        return list(dict.fromkeys(found))

    def _best(self, limits: Limits) -> Choice:
        while True:
            try:
                return self._cheapest(limits)
            except SearchLimitError:
                if self.unit == _UNITS[-1]:
                    raise
                self.unit = _UNITS[_UNITS.index(self.unit) + 1]

    def _cheapest(self, limits: Limits) -> Choice:
        """The cheapest of the best choices that the planner confirms to fit."""
        equal: list[tuple[Cost, Choice]] = []
        gain = None
        for number, (worth, choice) in enumerate(self._choices(limits)):
            if number >= _REPLANS or (equal and worth != gain):
                break
            cost, _ = planned_cost(self._space, choice, self._rates)
            if cost.fits(limits):
                gain = worth
                equal.append((cost, choice))
        if not equal:  # sums are off by alignment here; the smallest scheme is known to fit
            return self._space.biases(1)
        return min(equal, key=lambda entry: entry[0].order)[1]

    def _choices(self, limits: Limits) -> Iterator[tuple[int, Choice]]:
        """Choices within the limits by their sums, best first."""
        starts = [self._start(layers) for layers in range(1, len(self._space.layers) + 1)]
        steps = len(starts[0].load) - 2
        time = np.iinfo(np.int64).max if limits.instructions is None else limits.instructions
        bounds = np.array([*[limits.ram_bytes] * steps, limits.flash_bytes, time], np.int64)
        for selection in selections(starts, bounds):
            choice = self._space.biases(selection.start + 1)
            for layer, place in zip(self._groups(choice.layers), selection.items, strict=True):
                if place is not None:
                    choice = choice.with_ratio(layer[0], layer[1][place])
            yield selection.gain, choice

    def _groups(self, layers: int) -> list[tuple[int, list[float]]]:
        """Layers and their ratios that bring something."""
        found = [
            (
                layer.op,
                [r for r in layer.ratios if self._units(self._predictor.row(layer.op, r)) > 0],
            )
            for layer in self._space.layers[-layers:]
            if not layer.always
        ]
        return [(op, ratios) for op, ratios in found if ratios]

    def _start(self, layers: int) -> Start:
        first = self._space.layers[-layers].op
        groups = tuple(
            tuple(
                Item(
                    self._units(self._predictor.row(op, ratio)),
                    self._costs.added(op, ratio, first=op == first).values,
                )
                for ratio in ratios
            )
            for op, ratios in self._groups(layers)
        )
        gain = self._units(self._predictor.biases(layers))
        return Start(gain, self._costs.base(layers).values, groups)

    def _units(self, gain: float) -> int:
        return round(gain / self.unit)
