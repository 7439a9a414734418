# SPDX-License-Identifier: Apache-2.0
"""A run in a process of its own that ends itself with SIGKILL at a chosen moment.

    python killed_run.py PROJECT MOMENT N [WORK_MS]

MOMENT: `before` or `after` the N-th commit of the ledger, `sent` when the first bytes after that
commit have left for a device, `never`. Prints the model digest when it comes to its end.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleetgrad.cli.bench.doomed import Bomb
from fleetgrad.link import SocketLink
from fleetgrad.run import Services, execute
from support.federation import ModelFleet, project


class TickingLink:
    """Tells the bomb of what leaves."""

    def __init__(self, link: SocketLink, bomb: Bomb) -> None:
        self._link = link
        self._bomb = bomb
        self.fileno, self.read, self.close = link.fileno, link.read, link.close

    def write(self, data: bytes) -> int:
        count = self._link.write(data)
        if count:
            self._bomb.sent()
        return count


def main(folder: Path, moment: str, count: int, work_ms: int = 5) -> None:
    bomb = Bomb(moment, count)
    fleet = ModelFleet(
        bend=lambda traits: replace(traits, work_ms=work_ms + traits.device),
        wrap=lambda link: TickingLink(link, bomb),
    )
    services = Services(open_store=bomb.store())
    print(execute(project(folder), folder / "bundle", fleet, None, services).model_digest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *map(int, sys.argv[4:]))
