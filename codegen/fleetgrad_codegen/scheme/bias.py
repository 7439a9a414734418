# SPDX-License-Identifier: Apache-2.0
"""The scheme that trains biases alone, of all layers or of the last ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetgrad_codegen.scheme.deep import BIASES_ONLY, WHOLE, DeepScheme, last_layers
from fleetgrad_codegen.scheme.site import HeadSite


@dataclass(frozen=True, slots=True)
class Bias(DeepScheme):
    """Biases; a new last layer trains whole, as it has learned nothing yet.

    Attributes:
        layers: How many of the last layers; 0 for all.
    """

    layers: int = 0

    @property
    def name(self) -> str:
        """See `DeepScheme.name`."""
        return "bias"

    def ratios(self, site: HeadSite) -> Mapping[int, float]:
        """See `DeepScheme.ratios`."""
        made = dict.fromkeys(last_layers(site, self.layers), BIASES_ONLY)
        if self.last.classes is not None:
            made[site.position] = WHOLE
        return made
