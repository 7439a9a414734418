# SPDX-License-Identifier: Apache-2.0
"""Topics and records: how frames travel through an MQTT broker. SPEC.md, chapter MQTT."""

from __future__ import annotations

from fleetgrad.wire.framing import DELIMITER

RECORD_BYTES = 256
"""The longest record; small clients' buffers take it without being configured."""

RECORD_PAYLOAD = 224
"""The longest payload of a frame that is a record: what a host offers its devices."""

_ROOT = "fg/1"


def topic(fleet: str, device: int, leaf: str) -> str:
    """One of a device's topics.

    Args:
        fleet: The fleet's name.
        device: Device id.
        leaf: ``up``, ``dn`` or ``presence``.
    """
    return f"{_ROOT}/{fleet}/{device & 0xFF:02x}/{device:016x}/{leaf}"


def every(fleet: str, leaf: str) -> str:
    """The wildcard of all devices' topics of one kind."""
    return f"{_ROOT}/{fleet}/+/+/{leaf}"


def pattern(fleet: str, user: str, leaf: str) -> str:
    """A device's topic in a broker's access list, where ``user`` stands for its id."""
    return f"{_ROOT}/{fleet}/+/{user}/{leaf}"


def root(fleet: str) -> str:
    """The wildcard of all topics of a fleet."""
    return f"{_ROOT}/{fleet}/#"


def device_of(name: str) -> tuple[int, str] | None:
    """Device id and leaf of a topic; None where it is none of a device's."""
    parts = name.split("/")
    if len(parts) != 6 or "/".join(parts[:2]) != _ROOT:
        return None
    try:
        device = int(parts[4], 16)
    except ValueError:
        return None
    return (device, parts[5]) if topic(parts[2], device, parts[5]) == name else None


def records(stream: bytes) -> tuple[list[bytes], bytes]:
    """Cuts a stream of frames into records, one frame each, and what is left of it."""
    *frames, rest = stream.split(DELIMITER)
    return [frame + DELIMITER for frame in frames if frame], rest
