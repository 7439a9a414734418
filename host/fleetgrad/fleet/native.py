# SPDX-License-Identifier: Apache-2.0
"""Native processes: the node firmware compiled for this machine, one process for every device."""

from collections.abc import Sequence
from pathlib import Path

from fleetgrad.fleet.dialled import DialledFleet, Site


class NativeFleet(DialledFleet):
    """A fleet of native nodes.

    Args:
        executable: The node as the native build makes it.
    """

    kind = "native"

    def __init__(self, executable: Path) -> None:
        self._executable = executable
        super().__init__(self._arguments)

    def _arguments(self, site: Site) -> Sequence[str | Path]:
        kept = ("--boots", site.directory / "boots", "--flash", site.directory / "flash")
        return [self._executable, "--connect", site.address, "--image", site.image, *kept]
