# SPDX-License-Identifier: Apache-2.0
"""Where devices come from: emulators, native processes, this very process."""

from fleetgrad.fleet.base import (
    Announcement,
    Endpoint,
    FieldFleet,
    Fleet,
    Herald,
    Member,
    Placement,
    Witness,
)
from fleetgrad.fleet.mqtt import MqttFleet
from fleetgrad.fleet.native import NativeFleet
from fleetgrad.fleet.panel import Panel, Sighting
from fleetgrad.fleet.qemu import QemuFleet
from fleetgrad.fleet.serial import SerialFleet
from fleetgrad.fleet.virtual import VirtualFleet

__all__ = [
    "Announcement",
    "Endpoint",
    "FieldFleet",
    "Fleet",
    "Herald",
    "Member",
    "MqttFleet",
    "NativeFleet",
    "Panel",
    "Placement",
    "QemuFleet",
    "SerialFleet",
    "Sighting",
    "VirtualFleet",
    "Witness",
]
