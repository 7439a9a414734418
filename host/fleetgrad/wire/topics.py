# SPDX-License-Identifier: Apache-2.0
"""Topics and records: how frames travel through an MQTT broker. SPEC.md, chapter MQTT."""

from __future__ import annotations

from fleetgrad.wire.framing import DELIMITER
from fleetgrad.wire.messages import PAYLOAD_MAX

RECORD_BYTES = 256
"""The longest record; small clients' buffers take it without being configured."""

_HEAD_AND_CRC = 16
_STEP = 32

_ROOT = "fg/1"


def topic(fleet: str, device: int, leaf: str) -> str:
    """One of a device's topics.

    Args:
        fleet: The fleet's name.
        device: Device id.
        leaf: ``up``, ``dn`` or ``presence``, or ``gateway``.
    """
    return f"{_ROOT}/{fleet}/{device & 0xFF:02x}/{device:016x}/{leaf}"


def model(fleet: str) -> str:
    """Where the host says which version of the model is the current one."""
    return f"{_ROOT}/{fleet}/model"


def every(fleet: str, leaf: str) -> str:
    """The wildcard of all devices' topics of one kind."""
    return f"{_ROOT}/{fleet}/+/+/{leaf}"


def shard(fleet: str, leaf: str, part: int, parts: int) -> list[str]:
    """The wildcards of all topics of one kind of a shard's devices.

    Args:
        fleet: The fleet's name.
        leaf: Which topics.
        part: 0 .. parts - 1.
        parts: How many shards there are, up to 256.
    """
    return [f"{_ROOT}/{fleet}/{tail:02x}/+/{leaf}" for tail in range(part, 256, parts)]


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


def payload_of(record: int) -> int:
    """The longest payload that a host offers: every frame with it fits a record of so many bytes.

    A multiple of 32, and of the wire's own bound at most.
    """
    payload = min(record, PAYLOAD_MAX) // _STEP * _STEP
    while _frame_bytes(payload) > record:
        payload -= _STEP
    return payload


def _frame_bytes(payload: int) -> int:
    """Of the longest frame with a payload of so many bytes, delimiter included."""
    raw = payload + _HEAD_AND_CRC
    return raw + raw // 254 + 1 + len(DELIMITER)


def records(stream: bytes, longest: int = RECORD_BYTES) -> tuple[list[bytes], bytes]:
    """Gathers the whole frames of a stream into records.

    Args:
        stream: Frames, and perhaps a part of one at its end.
        longest: Bytes of a record; a frame that is longer is a record by itself.

    Returns:
        The records, and what is left of the stream.
    """
    *frames, rest = stream.split(DELIMITER)
    found: list[bytes] = []
    for frame in frames:
        if not frame:
            continue
        if found and len(found[-1]) + len(frame) + 1 <= longest:
            found[-1] += frame + DELIMITER
        else:
            found.append(frame + DELIMITER)
    return found, rest
