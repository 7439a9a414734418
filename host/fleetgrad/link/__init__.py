# SPDX-License-Identifier: Apache-2.0
"""Links move bytes to and from one device, and know nothing of what the bytes mean."""

from fleetgrad.link.access import BrokerAddress, Certificates, parse_broker
from fleetgrad.link.base import Link
from fleetgrad.link.mqtt import MqttClient
from fleetgrad.link.pair import socket_pair
from fleetgrad.link.serial import SerialPort, matching
from fleetgrad.link.stream import SocketLink
from fleetgrad.link.switchboard import Switchboard, SwitchedLink
from fleetgrad.link.tcp import Listener, connect

__all__ = [
    "BrokerAddress",
    "Certificates",
    "Link",
    "Listener",
    "MqttClient",
    "SerialPort",
    "SocketLink",
    "Switchboard",
    "SwitchedLink",
    "connect",
    "matching",
    "parse_broker",
    "socket_pair",
]
