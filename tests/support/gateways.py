# SPDX-License-Identifier: Apache-2.0
"""Gateways as processes, and as threads of the test."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from fleetgrad import bundle as bundles
from fleetgrad.device import Expected, Identity
from fleetgrad.federation.partial import numpy_fold
from fleetgrad.federation.strategies import FedAvg
from fleetgrad.fleet import MqttFleet
from fleetgrad.gateway import Boards, Custody, Gateway, Sums
from fleetgrad.link import Certificates, MqttClient, parse_broker
from fleetgrad.store import layout_of
from support.brokers import Mosquitto

ROOT = Path(__file__).resolve().parents[2]


class GatewayProcess:
    """The command, which can be killed and started again.

    Args:
        broker: Where it is a gateway.
        directory: With the boards' ports in dev; it keeps what it must there.
        fleet: The fleet's name.
        ports: Which ports are its.
        more: Further words of the command.
        name: What tells it from others in the same directory.
    """

    def __init__(
        self,
        broker: Mosquitto,
        directory: Path,
        fleet: str,
        *,
        ports: str = "ttyUSB*",
        more: tuple[str, ...] = (),
        name: str = "gateway",
    ) -> None:
        words = {
            "run.dir": directory / f"{name}-runs",
            "fleet.name": fleet,
            "train.batch": 2,
            "ranges.grow": "off",  # as the bundle that these boards were built from
        }
        settings = [word for key, value in words.items() for word in ("--set", f"{key}={value}")]
        plan = ROOT / "examples/digits/fleetgrad.toml"
        self._command = [
            sys.executable, "-m", "fleetgrad", "gateway", "--config", str(plan), *settings,
            "--serial", f"{directory}/dev/{ports}", "--broker", f"mqtt://{broker.address}",
            *more,
        ]  # fmt: skip
        self._log = directory / f"{name}.log"
        self.custody = directory / f"{name}-runs" / "gateway"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(30)

    @property
    def told(self) -> str:
        return self._log.read_text()


class Worker:
    """A gateway that sums one shard of a fleet at the broker, in a thread.

    Args:
        broker: Where it and the devices are.
        directory: It keeps what it must there.
        bundle: What the devices run.
        fleets: Names of the fleet of gateways, and of the devices below.
        shard: Which part of the devices.
    """

    def __init__(
        self,
        broker: Mosquitto,
        directory: Path,
        bundle: Path,
        fleets: tuple[str, str],
        shard: tuple[int, int],
    ) -> None:
        found = bundles.load(bundle)
        layout, digest = layout_of(found), found.digest[:8]
        custody = Custody(directory / "{}-of-{}".format(*shard))
        self._boards = Boards(lambda device: Expected(device, digest, layout.shape), self._tell)
        identity = Identity(custody.identity(), digest, 0, 0, 0, custody.count_start())
        self.told: list[str] = []
        front = Sums(
            identity,
            self._boards,
            custody,
            strategy=FedAvg(),
            layout=layout,
            fold=numpy_fold,
            tell=self._tell,
        )
        above, below = fleets
        gateway = Gateway(above, self._boards, front, self._tell)
        address = parse_broker(f"mqtt://{broker.address}")
        name = f"worker-{custody.name()}"
        self._client = MqttClient(address, Certificates(), name, gateway.receive, self._tell)
        self._fleet = MqttFleet(address, Certificates(), below, shard=shard)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=gateway.serve,
            args=(self._client, self._fleet.sightings, self._fleet.link, self._stop.is_set),
        )
        self._thread.start()

    def _tell(self, text: str) -> None:
        self.told.append(text)

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()
        self._client.close()
        self._fleet.stop()
        self._boards.close()
