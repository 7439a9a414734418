# SPDX-License-Identifier: Apache-2.0
"""How errors pass operators on their way back: one file each.

Adding one is a file with a subclass of `MoveRule`, `SumRule` or `WeightedRule`, and its name in
the list below.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fleetgrad_codegen.gradient.add import AddRule
from fleetgrad_codegen.gradient.average_pool_2d import AveragePool2DRule
from fleetgrad_codegen.gradient.base import GradientRule, MoveRule, SumRule
from fleetgrad_codegen.gradient.concatenation import ConcatenationRule
from fleetgrad_codegen.gradient.conv_2d import Conv2DRule
from fleetgrad_codegen.gradient.depthwise_conv_2d import DepthwiseConv2DRule
from fleetgrad_codegen.gradient.fully_connected import FullyConnectedRule
from fleetgrad_codegen.gradient.lookup import LogisticRule, TanhRule
from fleetgrad_codegen.gradient.max_pool_2d import MaxPool2DRule
from fleetgrad_codegen.gradient.mean import MeanRule
from fleetgrad_codegen.gradient.pad import PadRule
from fleetgrad_codegen.gradient.pair import MulRule, SubRule
from fleetgrad_codegen.gradient.reshape import ReshapeRule
from fleetgrad_codegen.gradient.resize_nearest_neighbor import ResizeNearestNeighborRule
from fleetgrad_codegen.gradient.transpose import TransposeRule
from fleetgrad_codegen.gradient.weighted import WeightedRule
from fleetgrad_codegen.ir import Graph, Op

__all__ = ["RULES", "GradientRule", "MoveRule", "SumRule", "WeightedRule", "find_rule"]

_RULES: tuple[GradientRule, ...] = (
    AddRule(),
    AveragePool2DRule(),
    ConcatenationRule(),
    Conv2DRule(),
    DepthwiseConv2DRule(),
    FullyConnectedRule(),
    LogisticRule(),
    MaxPool2DRule(),
    MeanRule(),
    MulRule(),
    PadRule(),
    ReshapeRule(),
    ResizeNearestNeighborRule(),
    SubRule(),
    TanhRule(),
    TransposeRule(),
)

RULES: Mapping[str, GradientRule] = MappingProxyType({rule.kind: rule for rule in _RULES})
"""Every rule there is, by the operator's name in the TFLite schema."""


def find_rule(graph: Graph, op: Op) -> GradientRule | None:
    """The rule for an operator; None where errors cannot pass it.

    Raises:
        SchemeError: They can pass operators of this kind, but not this one.
    """
    rule = RULES.get(op.kind)
    return None if rule is None else rule.of(graph, op)
