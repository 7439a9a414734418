# SPDX-License-Identifier: Apache-2.0
"""What a server does with the mean of a round's updates: the same on every machine."""

from fleetgrad.federation.strategies.base import Averaging
from fleetgrad.federation.strategies.server.adaptive import FedAdagrad, FedAdam, FedYogi
from fleetgrad.federation.strategies.server.momentum import FedAvgM
from fleetgrad.federation.strategies.server.nova import FedNova
from fleetgrad.federation.strategies.server.staleness import FedBuff

AVERAGING: tuple[type[Averaging], ...] = (FedAvgM, FedAdagrad, FedAdam, FedYogi, FedNova, FedBuff)

__all__ = ["AVERAGING", "FedAdagrad", "FedAdam", "FedAvgM", "FedBuff", "FedNova", "FedYogi"]
