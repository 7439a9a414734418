# SPDX-License-Identifier: Apache-2.0
"""The scheme that trains low-rank adapters, which an export merges into the weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.scheme.deep import BIASES_ONLY, WHOLE, DeepScheme, last_layers
from fleetgrad_codegen.scheme.site import HeadSite

MOST_RANK = 64


@dataclass(frozen=True, slots=True)
class Lora(DeepScheme):
    """Adapters on fully connected layers and 1x1 convolutions; biases of all these layers.

    The last layer trains whole, as do layers that are no larger than their adapters would be.

    Attributes:
        layers: How many of the last layers; 0 for all.
        rank: Of the adapters: numbers between their two factors.
    """

    layers: int = 0
    rank: int = 4

    def __post_init__(self) -> None:
        """Refuses what no model could use.

        Raises:
            SchemeError: The rank is out of range.
        """
        if not 1 <= self.rank <= MOST_RANK:
            raise SchemeError(
                f"adapters of rank {self.rank}",
                "scheme.rank",
                f"1 to {MOST_RANK}",
                "the scheme full trains all weights",
            )

    @property
    def name(self) -> str:
        """See `DeepScheme.name`."""
        return "lora"

    def ratios(self, site: HeadSite) -> Mapping[int, float]:
        """See `DeepScheme.ratios`."""
        places = last_layers(site, self.layers)
        made = {place: WHOLE if _is_matrix(site, place) else BIASES_ONLY for place in places}
        made[site.position] = WHOLE
        return made

    def ranks(self, site: HeadSite) -> Mapping[int, int]:
        """See `DeepScheme.ranks`."""
        return {
            place: self.rank
            for place in last_layers(site, self.layers)
            if place != site.position and _is_matrix(site, place) and self._pays(site, place)
        }

    def _pays(self, site: HeadSite, place: int) -> bool:
        """Whether both factors together are smaller than the weights."""
        graph, op = site.graph, site.graph.ops[place]
        rule = weighted_rule(graph, place)
        outputs, inputs = rule.channels(graph, op), rule.taps(graph, op)
        return self.rank * (outputs + inputs) < outputs * inputs


def _is_matrix(site: HeadSite, place: int) -> bool:
    """Whether the layer is fully connected, or a 1x1 convolution."""
    graph, op = site.graph, site.graph.ops[place]
    rule = weighted_rule(graph, place)
    return not rule.channel_axis and rule.taps(graph, op) == rule.depth(graph, op)
