# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between bytes and messages."""

from __future__ import annotations

from fleetgrad.errors import WireError


class MessageError(WireError):
    """Intact bytes that are no message, or values that no message can carry."""


class TransferError(WireError):
    """A chunk or an acknowledgement that cannot belong to the transfer it names."""
