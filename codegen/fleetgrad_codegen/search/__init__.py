# SPDX-License-Identifier: Apache-2.0
"""The scheme ``auto``: what each layer brings and costs, and the best of it in a budget."""

from fleetgrad_codegen.search.auto import Candidate, Found, Row, check_smallest, search
from fleetgrad_codegen.search.costs import Cost, Limits
from fleetgrad_codegen.search.experiments import Score
from fleetgrad_codegen.search.instructions import (
    KERNELS,
    KernelCost,
    Rates,
    flat_rates,
    work_of,
)
from fleetgrad_codegen.search.masks import masks_of
from fleetgrad_codegen.search.proxy import ProxyData, proxy_data
from fleetgrad_codegen.search.space import Choice, Deployment, Space, search_space
from fleetgrad_codegen.search.write import Origin, scheme_toml

__all__ = [
    "KERNELS",
    "Candidate",
    "Choice",
    "Cost",
    "Deployment",
    "Found",
    "KernelCost",
    "Limits",
    "Origin",
    "ProxyData",
    "Rates",
    "Row",
    "Score",
    "Space",
    "check_smallest",
    "flat_rates",
    "masks_of",
    "proxy_data",
    "scheme_toml",
    "search",
    "search_space",
    "work_of",
]
