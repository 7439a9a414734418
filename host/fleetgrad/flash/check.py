# SPDX-License-Identifier: Apache-2.0
"""Whether what was flashed runs: the board itself must say so."""

from __future__ import annotations

from fleetgrad.errors import LinkError
from fleetgrad.fleet import Panel, Sighting


def await_hello(ports: tuple[str, ...], baud: int, digest: bytes, wait_s: float) -> Sighting:
    """Waits until a board with the right model says HELLO.

    Args:
        ports: Where to listen; none: every USB port.
        baud: Bits per second.
        digest: Of the bundle in the firmware, 32 bytes.
        wait_s: Seconds, at most.

    Raises:
        LinkError: Nobody did; what was heard on each port instead.
    """

    def right(seen: Sighting) -> bool:
        return seen.identity is not None and digest.startswith(seen.identity.model_digest)

    panel = Panel(ports, baud)
    try:
        found = panel.sightings(lambda seen: any(map(right, seen)), wait_s)
    finally:
        panel.stop()
    for sighting in found:
        if right(sighting):
            return sighting
    told = [f"{one.url}: {one.problem or 'a board with the model ' + _model(one)}" for one in found]
    hints = [one.hint for one in found if one.hint]
    raise LinkError(
        "it was flashed, but no board with this model says HELLO",
        where="; ".join(told) or "no port is there",
        expected=f"model {digest[:8].hex()} within {wait_s:g} s",
        hint=hints[0] if hints else "press reset; is --port the board's serial port?",
    )


def _model(sighting: Sighting) -> str:
    return sighting.identity.model_digest.hex() if sighting.identity else ""
