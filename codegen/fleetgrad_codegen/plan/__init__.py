# SPDX-License-Identifier: Apache-2.0
"""Where every tensor lives: lifetimes, arena offsets, an independent check, budgets."""

from fleetgrad_codegen.plan.budget import Budget, MemoryPlan, check_budget
from fleetgrad_codegen.plan.buffers import Buffer, Layout, Placement, Region, live_at
from fleetgrad_codegen.plan.check import LayoutError, check_layout
from fleetgrad_codegen.plan.lifetimes import lifetimes, lower_bound
from fleetgrad_codegen.plan.placement import place

__all__ = [
    "Budget",
    "Buffer",
    "Layout",
    "LayoutError",
    "MemoryPlan",
    "Placement",
    "Region",
    "check_budget",
    "check_layout",
    "lifetimes",
    "live_at",
    "lower_bound",
    "place",
]
