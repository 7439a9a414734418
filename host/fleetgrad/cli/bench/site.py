# SPDX-License-Identifier: Apache-2.0
"""Real processes at a real broker: the digits model on native devices, for `bench kills`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fleetgrad import config as configs
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.link.broker import Mosquitto
from fleetgrad.run.prepare import gather
from fleetgrad.store import LEDGER, Store
from fleetgrad.toolchain import build_image

from ..bundles import make_bundle
from .doomed import NEVER, Doom

DEVICES: Final = 3
_FLEET: Final = "site"
_BOARD: Final = "native_mqtt"


class Site:
    """A broker and devices that run until the end; hosts come and go.

    Args:
        folder: For everything.
        rounds: Training rounds of a run.
    """

    def __init__(self, folder: Path, rounds: int) -> None:
        self._folder = folder
        self._rounds = rounds
        self._config = paths.home() / "examples" / "digits" / "fleetgrad.toml"
        self.broker = Mosquitto(folder / "broker", "allow_anonymous true")
        self._nodes: list[subprocess.Popen[bytes]] = []
        config = self.config(folder / "none")
        board = load_board(paths.boards(), _BOARD)
        self._bundle = folder / "bundle"
        make_bundle(config, board).write(self._bundle)
        node = build_image(self._bundle, board, "node", folder / "node").path
        for placement in gather(config, self._bundle).placements(starts=1):
            image = folder / f"image{placement.device}"
            image.write_bytes(placement.image)
            line = ["--broker", self.broker.address, "--fleet", _FLEET, "--image", str(image)]
            self._nodes.append(subprocess.Popen([node, *line]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in self._nodes:
            node.kill()
            node.wait()
        self.broker.stop()

    @property
    def updates(self) -> int:
        """In the ledger of a whole run: of every device, with those of the closing evaluation."""
        return DEVICES * (self._rounds + 1)

    def config(self, directory: Path) -> Config:
        """Of a run in this directory."""
        return configs.load(self._config, self._overrides(directory))

    def _overrides(self, directory: Path) -> tuple[str, ...]:
        return (
            f"run.dir={directory}",
            f"rounds.count={self._rounds}",
            f"rounds.min_updates={DEVICES}",
            "rounds.retries=100",
            f"fleet.devices={DEVICES}",
            f"fleet.broker=mqtt://{self.broker.address}",
            f"fleet.name={_FLEET}",
            "data.limit=24",
            "train.epochs=1",
        )

    def host(self, directory: Path, moment: str = NEVER, count: int = 0) -> subprocess.Popen[str]:
        """A host for a run in this directory, which prints its digest if it lives."""
        overrides = self._overrides(directory)
        doom = Doom(str(self._config), overrides, str(self._bundle), moment, count)
        return subprocess.Popen(doom.command, stdout=subprocess.PIPE, text=True)

    @staticmethod
    def accepted(directory: Path) -> list[tuple[int, int]]:
        """Round and device of every update that the ledger holds."""
        path = directory / LEDGER
        if not path.exists() or not path.stat().st_size:
            return []
        with Store(directory, writing=False) as store:
            return [
                (update.round, update.device)
                for run in store.ledger.runs()
                for update in store.ledger.updates(run.run_id)
            ]
