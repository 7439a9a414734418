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
    Summed,
    Unable,
)
from fleetgrad.device.gateway import BoardSession, GatewaySession
from fleetgrad.device.greeting import Greeting, Identity, hello_of, identify, identify_all
from fleetgrad.device.session import DeviceSession, Patience
from fleetgrad.device.sums import (
    REASONS,
    Board,
    Entry,
    Fate,
    Order,
    SumBlob,
    SumShape,
    read_sum,
    write_sum,
)
from fleetgrad.device.update import Shape, Update, read_update

__all__ = [
    "REASONS",
    "Arrived",
    "Board",
    "BoardSession",
    "DeviceEvent",
    "DeviceSession",
    "Entry",
    "Expected",
    "Fate",
    "GatewaySession",
    "Greeting",
    "Identity",
    "Joined",
    "Lost",
    "Order",
    "Patience",
    "Printed",
    "Rebooted",
    "Refused",
    "Shape",
    "Spoiled",
    "SumBlob",
    "SumShape",
    "Summed",
    "Unable",
    "Update",
    "hello_of",
    "identify",
    "identify_all",
    "read_sum",
    "read_update",
    "write_sum",
]
