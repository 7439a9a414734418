# SPDX-License-Identifier: Apache-2.0
"""A host that ends itself with SIGKILL at a chosen moment: a process of its own, for `bench kills`.

Moments: ``before`` or ``after`` the n-th commit of the ledger, ``sent`` when what that commit lets
it say has left for the devices, ``never``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fleetgrad import config as configs
from fleetgrad.errors import LinkError
from fleetgrad.fleet import MqttFleet
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.run import Services, execute
from fleetgrad.store import Ledger, Store

MOMENTS: Final = ("before", "after", "sent")
NEVER: Final = "never"


class Bomb:
    """Goes off at its moment.

    Args:
        moment: One of `MOMENTS`, or `NEVER`.
        count: Of the commit.
    """

    def __init__(self, moment: str, count: int) -> None:
        self.moment = moment
        self.count = count
        self.commits = 0

    def commit(self, moment: str) -> None:
        """A commit is about to be, or was, made."""
        self.commits += moment == "before"
        if self.commits == self.count and moment == self.moment:
            _die()

    def sent(self) -> None:
        """Something has left for a device."""
        if self.commits >= self.count and self.moment == "sent":
            _die()

    def store(self) -> Callable[[Path], Store]:
        """Opens stores whose commits it hears of."""
        bomb = self

        class TickingLedger(Ledger):
            def _commit(self) -> None:
                bomb.commit("before")
                super()._commit()
                bomb.commit("after")

        class TickingStore(Store):
            def _open_ledger(self, path: Path, *, writing: bool) -> Ledger:
                return TickingLedger(path, writing=writing)

        return lambda directory: TickingStore(directory, writing=True)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Doom:
    """What the process is to do.

    Attributes:
        config: A fleetgrad.toml.
        overrides: Of its keys.
        bundle: What the devices run.
        moment: When it ends.
        count: Of the commit.
    """

    config: str
    overrides: tuple[str, ...]
    bundle: str
    moment: str
    count: int

    @property
    def command(self) -> list[str]:
        """Runs it."""
        words = "from fleetgrad.cli.bench.doomed import main; main()"
        return [sys.executable, "-c", words, json.dumps(asdict(self))]


class TickingFleet(MqttFleet):
    """Tells the bomb when the broker has what was said to devices."""

    bomb: Bomb | None = None

    def _send(self, given: Sequence[tuple[int, bytes]]) -> None:
        super()._send(given)
        if self._client is not None and self.bomb is not None:
            if self.bomb.moment == "sent" and self.bomb.commits >= self.bomb.count:
                self._client.settle()
            self.bomb.sent()


def main() -> None:
    """Runs the `Doom` that the command line gives; prints the digest when it lives to the end."""
    given = json.loads(sys.argv[1])
    doom = Doom(**{**given, "overrides": tuple(given["overrides"])})
    config = configs.load(Path(doom.config), doom.overrides)
    bomb = Bomb(doom.moment, doom.count)
    fleet = TickingFleet(
        parse_broker(config.fleet.broker), Certificates(), config.fleet.name, config.fleet.devices
    )
    fleet.bomb = bomb
    try:
        result = execute(config, Path(doom.bundle), fleet, None, Services(open_store=bomb.store()))
    except LinkError as error:  # the broker was away when this began: begin again
        print(error.what, file=sys.stderr)
        raise SystemExit(1) from None
    print(result.model_digest)
