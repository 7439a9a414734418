# SPDX-License-Identifier: Apache-2.0
"""How errors pass operators on their way back: one file each.

Adding one is a file with a subclass of `MoveRule` or `WeightedRule`, and its name in the list
below.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fleetgrad_codegen.gradient.add import AddRule
from fleetgrad_codegen.gradient.average_pool_2d import AveragePool2DRule
from fleetgrad_codegen.gradient.base import GradientRule, MoveRule
from fleetgrad_codegen.gradient.conv_2d import Conv2DRule
from fleetgrad_codegen.gradient.depthwise_conv_2d import DepthwiseConv2DRule
from fleetgrad_codegen.gradient.fully_connected import FullyConnectedRule
from fleetgrad_codegen.gradient.max_pool_2d import MaxPool2DRule
from fleetgrad_codegen.gradient.mean import MeanRule
from fleetgrad_codegen.gradient.pad import PadRule
from fleetgrad_codegen.gradient.reshape import ReshapeRule
from fleetgrad_codegen.gradient.transpose import TransposeRule
from fleetgrad_codegen.gradient.weighted import WeightedRule

__all__ = ["RULES", "GradientRule", "MoveRule", "WeightedRule"]

_RULES: tuple[GradientRule, ...] = (
    AddRule(),
    AveragePool2DRule(),
    Conv2DRule(),
    DepthwiseConv2DRule(),
    FullyConnectedRule(),
    MaxPool2DRule(),
    MeanRule(),
    PadRule(),
    ReshapeRule(),
    TransposeRule(),
)

RULES: Mapping[str, GradientRule] = MappingProxyType({rule.kind: rule for rule in _RULES})
"""Every rule there is, by the operator's name in the TFLite schema."""
