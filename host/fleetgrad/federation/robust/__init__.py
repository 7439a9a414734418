# SPDX-License-Identifier: Apache-2.0
"""Rules that a minority of lying devices cannot bend far: pure functions of a cohort's updates."""

from fleetgrad.federation.robust.bounds import NormBound
from fleetgrad.federation.robust.bulyan import Bulyan
from fleetgrad.federation.robust.centred_clipping import CentredClipping
from fleetgrad.federation.robust.clustering import Clustering
from fleetgrad.federation.robust.cohort import Chosen, Cohort, Updates
from fleetgrad.federation.robust.fltrust import FLTrust
from fleetgrad.federation.robust.geometric_median import GeometricMedian
from fleetgrad.federation.robust.krum import Krum, MultiKrum
from fleetgrad.federation.robust.median import Median
from fleetgrad.federation.robust.nnm import Mixing
from fleetgrad.federation.robust.rule import Rule
from fleetgrad.federation.robust.sign_guard import SignGuard
from fleetgrad.federation.robust.trimmed_mean import TrimmedMean

__all__ = [
    "Bulyan",
    "CentredClipping",
    "Chosen",
    "Clustering",
    "Cohort",
    "FLTrust",
    "GeometricMedian",
    "Krum",
    "Median",
    "Mixing",
    "MultiKrum",
    "NormBound",
    "Rule",
    "SignGuard",
    "TrimmedMean",
    "Updates",
]
