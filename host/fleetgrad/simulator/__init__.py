# SPDX-License-Identifier: Apache-2.0
"""Whole runs in virtual time over lines, devices and hosts that fail, replayable from a seed.

The host is the real one, ledger included; the devices are the firmware's own code. Only time, lines
and death are made up.
"""

from fleetgrad.simulator.blob import Carried, carry
from fleetgrad.simulator.campaign import Campaign, Outcome, Trace
from fleetgrad.simulator.faults import Faults, draw
from fleetgrad.simulator.host import Violation
from fleetgrad.simulator.noise import Noisy, NoisyLine

__all__ = [
    "Campaign",
    "Carried",
    "Faults",
    "Noisy",
    "NoisyLine",
    "Outcome",
    "Trace",
    "Violation",
    "carry",
    "draw",
]
