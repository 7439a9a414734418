# SPDX-License-Identifier: Apache-2.0
"""Gateways and shards that send sums: the same model, bit for bit, as a flat fleet."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetgrad.config import Config
from fleetgrad.federation.model import GlobalModel
from fleetgrad.fleet import MqttFleet
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.results import Observer, RunResult, SilentObserver
from fleetgrad.run import Services, execute
from fleetgrad.run.prepare import gather
from fleetgrad.run.replay import replay
from fleetgrad.store import Store
from support.brokers import Mosquitto
from support.gateways import GatewayProcess, Worker
from support.mqtt_nodes import FLEET, start_nodes
from support.serial_boards import SerialBoard

ABOVE = "sums"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path / "broker", "allow_anonymous true")
    yield made
    made.stop()


@pytest.fixture
def boards(
    digits: Config, digits_bundle: Path, node: Path, tmp_path: Path
) -> Iterator[list[SerialBoard]]:
    """The boards of the digits plan, plugged in as ttyUSB0 and so on."""
    ports = tmp_path / "dev"
    ports.mkdir()
    made = []
    for number, placement in enumerate(gather(digits, digits_bundle).placements(starts=1)):
        board = SerialBoard(node, placement.image, ports, tmp_path / f"board{number}")
        board.plug(f"ttyUSB{number}")
        made.append(board)
    yield made
    for board in made:
        board.unplug()


def fleet_at(broker: Mosquitto) -> MqttFleet:
    return MqttFleet(parse_broker(f"mqtt://{broker.address}"), Certificates(), ABOVE, devices=3)


def check(config: Config, run_id: str, gateways: int, rounds: int = 2) -> None:
    """The ledger holds sums and no updates, and they make the versions again."""
    with Store(config.run.dir, writing=False) as store:
        for number in range(1, rounds + 2):
            assert len(list(store.ledger.sums(run_id, number))) == gateways
            assert not list(store.ledger.blobs(run_id, number))
            assert len(store.ledger.updates(run_id, number)) == 3
        found = replay(store, run_id)
    assert [row.updates for row in found.rounds] == [3] * rounds


@dataclass(frozen=True)
class Plan:
    """A run of the digits plan over three boards on ports.

    Attributes:
        config: The plan.
        bundle: What the boards run.
        broker: Where the gateways are.
        directory: With the boards' ports.
        digest: What a flat fleet with the same data ends with.
    """

    config: Config
    bundle: Path
    broker: Mosquitto
    directory: Path
    digest: str

    def gateways(self, *ports: str) -> list[GatewayProcess]:
        """Gateways that sum, started, one for each pattern of ports."""
        made = []
        for place, wanted in enumerate(ports):
            name, words = f"gateway{place}", ("--aggregate",)
            gateway = GatewayProcess(
                self.broker, self.directory, ABOVE, ports=wanted, more=words, name=name
            )
            gateway.start()
            made.append(gateway)
        return made

    def run(self, observer: Observer | None = None) -> RunResult:
        """The run."""
        return execute(self.config, self.bundle, fleet_at(self.broker), observer)


@pytest.fixture
def plan(
    digits: Config,
    digits_bundle: Path,
    boards: list[SerialBoard],
    broker: Mosquitto,
    undisturbed: str,
) -> Plan:
    del boards
    return Plan(digits, digits_bundle, broker, digits.run.dir.parent, undisturbed)


@pytest.mark.parametrize("ports", [("ttyUSB*",), ("ttyUSB0", "ttyUSB[12]")])
def test_gateways_that_sum_make_the_model_of_a_flat_fleet(
    plan: Plan, ports: tuple[str, ...]
) -> None:
    gateways = plan.gateways(*ports)
    try:
        result = plan.run()
    finally:
        stopped = [gateway.stop(signal.SIGINT) for gateway in gateways]
    assert stopped == [0] * len(ports)
    assert result.model_digest == plan.digest
    assert result.accuracy_after is not None
    check(plan.config, result.run_id, len(ports))


def test_gateway_of_gateways_makes_the_model_of_a_flat_fleet(plan: Plan) -> None:
    """Two gateways with boards are behind a third, and one of them is killed on the way."""
    made = [
        GatewayProcess(
            plan.broker, plan.directory, "middle", ports=ports, more=("--aggregate",), name=name
        )
        for name, ports in (("leaf0", "ttyUSB0"), ("leaf1", "ttyUSB[12]"))
    ]
    words = ("--aggregate", "--below", "middle")
    made.append(GatewayProcess(plan.broker, plan.directory, ABOVE, more=words, name="root"))
    leaf = made[0]

    class Killer(SilentObserver):
        def round_opened(self, number: int, selected: Sequence[int], evaluation_only: bool) -> None:
            if number == 1:
                leaf.stop()
                leaf.start()

    for gateway in made:
        gateway.start()
    try:
        result = plan.run(Killer())
    finally:
        for gateway in made:
            gateway.stop()
    assert result.model_digest == plan.digest
    check(plan.config, result.run_id, 1)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_gateway_that_is_killed_makes_its_sum_again(plan: Plan) -> None:
    (gateway,) = plan.gateways("ttyUSB*")

    class Killer(SilentObserver):
        """At each opening: once the first update is in custody."""

        kills = 0

        def round_opened(self, number: int, selected: Sequence[int], evaluation_only: bool) -> None:
            def harm() -> None:
                wait_until(lambda: any(gateway.custody.glob("*.update")))
                gateway.stop()
                gateway.start()
                Killer.kills += 1

            threading.Thread(target=harm, daemon=True).start()

    try:
        result = plan.run(Killer())
    finally:
        gateway.stop()
    assert Killer.kills >= 1
    assert result.model_digest == plan.digest
    check(plan.config, result.run_id, 1)


def test_host_that_is_stopped_after_a_sum_makes_the_same_model(plan: Plan) -> None:
    class Stopped(BaseException):
        pass

    class Once(Store):
        """Stops after a round's sum was recorded, before its version was."""

        stops = 1

        def keep_model(self, model: GlobalModel) -> str:
            if self.ledger.runs() and Once.stops:
                Once.stops = 0
                raise Stopped
            return super().keep_model(model)

    (gateway,) = plan.gateways("ttyUSB*")
    services = Services(open_store=lambda directory: Once(directory, writing=True))
    try:
        with pytest.raises(Stopped):
            execute(plan.config, plan.bundle, fleet_at(plan.broker), services=services)
        result = plan.run()
    finally:
        gateway.stop()
    assert result.resumed
    assert result.model_digest == plan.digest
    check(plan.config, result.run_id, 1)


@pytest.fixture
def sharded(digits: Config, digits_bundle: Path, broker: Mosquitto, undisturbed: str) -> Plan:
    """The same over three devices at the broker."""
    return Plan(digits, digits_bundle, broker, digits.run.dir.parent, undisturbed)


def test_two_workers_as_the_command_starts_them_make_the_same_model(
    sharded: Plan, mqtt_node: Path
) -> None:
    placements = gather(sharded.config, sharded.bundle).placements(starts=1)
    made = []
    for part in range(2):
        words = ("--aggregate", "--below", FLEET, "--shard", f"{part}/2")
        name = f"worker{part}"
        made.append(GatewayProcess(sharded.broker, sharded.directory, ABOVE, more=words, name=name))
    with start_nodes(mqtt_node, placements, sharded.directory, sharded.broker.address):
        for worker in made:
            worker.start()
        try:
            result = sharded.run()
        finally:
            stopped = [worker.stop(signal.SIGINT) for worker in made]
    assert stopped == [0, 0]
    assert result.model_digest == sharded.digest
    check(sharded.config, result.run_id, 2)


@pytest.mark.parametrize("workers", [1, 8])
def test_any_number_of_shards_makes_the_model_of_a_flat_fleet(
    sharded: Plan, mqtt_node: Path, workers: int
) -> None:
    digits, digits_bundle, broker = sharded.config, sharded.bundle, sharded.broker
    placements = gather(digits, digits_bundle).placements(starts=1)
    directory = digits.run.dir.parent
    with start_nodes(mqtt_node, placements, directory, broker.address):
        made = [
            Worker(broker, directory, digits_bundle, (ABOVE, FLEET), (part, workers))
            for part in range(workers)
        ]
        try:
            result = execute(digits, digits_bundle, fleet_at(broker))
        finally:
            for worker in made:
                worker.stop()
    assert result.model_digest == sharded.digest
    check(digits, result.run_id, len({placement.device % workers for placement in placements}))
