# SPDX-License-Identifier: Apache-2.0
"""Rules that a minority of lying devices cannot bend far: pure functions of a cohort's updates."""

from fleetgrad.federation.strategies.robust.bulyan import Bulyan
from fleetgrad.federation.strategies.robust.centred_clipping import CentredClipping
from fleetgrad.federation.strategies.robust.clustering import Clustering
from fleetgrad.federation.strategies.robust.cohort import Chosen, Cohort, Updates
from fleetgrad.federation.strategies.robust.fltrust import FLTrust
from fleetgrad.federation.strategies.robust.geometric_median import GeometricMedian
from fleetgrad.federation.strategies.robust.krum import Krum, MultiKrum
from fleetgrad.federation.strategies.robust.median import Median
from fleetgrad.federation.strategies.robust.norm_bound import NormBound
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sign_guard import SignGuard
from fleetgrad.federation.strategies.robust.trimmed_mean import TrimmedMean

RULES: tuple[type[Rule], ...] = (
    Median,
    TrimmedMean,
    Krum,
    MultiKrum,
    Bulyan,
    GeometricMedian,
    CentredClipping,
    NormBound,
    Clustering,
    SignGuard,
    FLTrust,
)

__all__ = [
    "RULES",
    "Bulyan",
    "CentredClipping",
    "Chosen",
    "Clustering",
    "Cohort",
    "FLTrust",
    "GeometricMedian",
    "Krum",
    "Median",
    "MultiKrum",
    "NormBound",
    "Rule",
    "SignGuard",
    "TrimmedMean",
    "Updates",
]
