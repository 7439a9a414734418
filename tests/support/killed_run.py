# SPDX-License-Identifier: Apache-2.0
"""A run in a process of its own that ends itself with SIGKILL at a chosen moment.

    python killed_run.py PROJECT MOMENT N [WORK_MS]

MOMENT: `before` or `after` the N-th commit of the ledger, `sent` when the first bytes after that
commit have left for a device, `never`. Prints the model digest when it comes to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleetgrad.link import SocketLink
from fleetgrad.run import Services, execute
from fleetgrad.store import Ledger, Store
from support.federation import ModelFleet, project


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Bomb:
    """Goes off at its moment."""

    def __init__(self, moment: str, count: int) -> None:
        self.moment = moment
        self.count = count
        self.commits = 0

    def commit(self, moment: str) -> None:
        self.commits += moment == "before"
        if self.commits == self.count and moment == self.moment:
            die()

    def sent(self) -> None:
        if self.commits >= self.count and self.moment == "sent":
            die()


def open_store(bomb: Bomb) -> Any:
    class TickingLedger(Ledger):
        def _commit(self) -> None:
            bomb.commit("before")
            super()._commit()
            bomb.commit("after")

    class TickingStore(Store):
        def _open_ledger(self, path: Path, *, writing: bool) -> Ledger:
            return TickingLedger(path, writing=writing)

    return lambda directory: TickingStore(directory, writing=True)


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
    services = Services(open_store=open_store(bomb))
    print(execute(project(folder), folder / "bundle", fleet, None, services).model_digest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *map(int, sys.argv[4:]))
