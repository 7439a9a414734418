# SPDX-License-Identifier: Apache-2.0
"""The scheme that trains the last layer, biases, and a share of each convolution's channels."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.scheme.deep import BIASES_ONLY, WHOLE, DeepScheme, last_layers
from fleetgrad_codegen.scheme.site import HeadSite


@dataclass(frozen=True, slots=True)
class Sparse(DeepScheme):
    """Biases of all these layers; weights of a share of channels, none of depthwise convolutions.

    Attributes:
        layers: How many of the last layers; 0 for all.
        ratio: Share of the output channels whose weights train, above 0.
    """

    layers: int = 0
    ratio: float = 0.5

    def __post_init__(self) -> None:
        """Refuses what no model could use.

        Raises:
            SchemeError: The ratio is out of range.
        """
        if not 0.0 < self.ratio <= 1.0:
            raise SchemeError(
                f"a ratio of {self.ratio:g}",
                "scheme.ratio",
                "above 0, at most 1",
                "the scheme bias trains no weights",
            )

    @property
    def name(self) -> str:
        """See `DeepScheme.name`."""
        return "sparse"

    def ratios(self, site: HeadSite) -> Mapping[int, float]:
        """See `DeepScheme.ratios`."""
        made = {
            position: BIASES_ONLY
            if site.graph.ops[position].kind == "DEPTHWISE_CONV_2D"
            else self.ratio
            for position in last_layers(site, self.layers)
        }
        made[site.position] = WHOLE
        return made
