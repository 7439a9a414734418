# SPDX-License-Identifier: Apache-2.0
"""Native devices behind a broker, a process each."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fleetgrad.fleet import Placement

FLEET = "barn"


@contextlib.contextmanager
def start_nodes(
    node: Path,
    placements: Sequence[Placement],
    directory: Path,
    address: str,
    *words: str,
    passwords: Mapping[str, str] | None = None,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One process for every device; a word may hold {user}, the device's id."""
    running = []
    for placement in placements:
        image = directory / f"image{placement.device}"
        image.write_bytes(placement.image)
        user = f"{placement.device:016x}"
        line = ["--broker", address, "--fleet", FLEET, "--image", str(image)]
        command = [node, *line, *(word.format(user=user) for word in words)]
        secret = {"FG_MQTT_PASSWORD": (passwords or {}).get(user, "")}
        running.append(subprocess.Popen(command, env=os.environ | secret))
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
