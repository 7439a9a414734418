# SPDX-License-Identifier: Apache-2.0
"""Where devices come from: emulators, native processes, this very process."""

from fleetgrad.fleet.base import Endpoint, Fleet, Placement
from fleetgrad.fleet.native import NativeFleet
from fleetgrad.fleet.qemu import QemuFleet
from fleetgrad.fleet.virtual import VirtualFleet

__all__ = ["Endpoint", "Fleet", "NativeFleet", "Placement", "QemuFleet", "VirtualFleet"]
