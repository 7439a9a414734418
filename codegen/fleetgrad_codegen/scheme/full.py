# SPDX-License-Identifier: Apache-2.0
"""The scheme that trains all weights and biases, of all layers or of the last ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetgrad_codegen.scheme.deep import WHOLE, DeepScheme, last_layers
from fleetgrad_codegen.scheme.site import HeadSite


@dataclass(frozen=True, slots=True)
class Full(DeepScheme):
    """Everything.

    Attributes:
        layers: How many of the last layers; 0 for all.
    """

    layers: int = 0

    @property
    def name(self) -> str:
        """See `DeepScheme.name`."""
        return "full"

    def ratios(self, site: HeadSite) -> Mapping[int, float]:
        """See `DeepScheme.ratios`."""
        return dict.fromkeys(last_layers(site, self.layers), WHOLE)
