# SPDX-License-Identifier: Apache-2.0
"""A session with one device: bytes and time in, events and bytes out. No I/O, no clock."""

from fleetgrad.device.checks import Expected
from fleetgrad.device.events import (
    Arrived,
    DeviceEvent,
    Joined,
    Lost,
    Printed,
    Rebooted,
    Refused,
    Spoiled,
    Unable,
)
from fleetgrad.device.greeting import Greeting, Identity, identify
from fleetgrad.device.session import DeviceSession, Patience
from fleetgrad.device.update import Shape, Update, read_update

__all__ = [
    "Arrived",
    "DeviceEvent",
    "DeviceSession",
    "Expected",
    "Greeting",
    "Identity",
    "Joined",
    "Lost",
    "Patience",
    "Printed",
    "Rebooted",
    "Refused",
    "Shape",
    "Spoiled",
    "Unable",
    "Update",
    "identify",
    "read_update",
]
