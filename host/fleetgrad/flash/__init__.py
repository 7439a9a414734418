# SPDX-License-Identifier: Apache-2.0
"""Puts firmware, and a device's samples, on a board, and asks the board whether it runs."""

from fleetgrad.flash.check import await_hello
from fleetgrad.flash.payload import Payload, payload_of
from fleetgrad.flash.pyocd import flash_with_pyocd
from fleetgrad.flash.uf2 import drives, encode_uf2, flash_as_uf2

__all__ = [
    "Payload",
    "await_hello",
    "drives",
    "encode_uf2",
    "flash_as_uf2",
    "flash_with_pyocd",
    "payload_of",
]
