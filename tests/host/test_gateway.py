# SPDX-License-Identifier: Apache-2.0
"""Boards on cables behind a broker: real firmware, a real broker, and everything killed in turn."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgrad.config import Config
from fleetgrad.errors import StoreError
from fleetgrad.fleet import MqttFleet, VirtualFleet
from fleetgrad.gateway import Custody
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.results import SilentObserver
from fleetgrad.run import execute
from fleetgrad.run.prepare import gather
from fleetgrad.wire.messages import RoundOpen
from support.brokers import Mosquitto
from support.gateways import GatewayProcess
from support.serial_boards import SerialBoard

FLEET = "barn"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path / "broker", "allow_anonymous true")
    yield made
    made.stop()


@pytest.fixture
def boards(
    digits: Config, digits_bundle: Path, node: Path, tmp_path: Path
) -> Iterator[list[SerialBoard]]:
    """The boards of the digits plan, plugged in."""
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


@pytest.fixture
def undisturbed(digits: Config, digits_bundle: Path, library: Path, tmp_path: Path) -> str:
    elsewhere = replace(digits, run=replace(digits.run, dir=tmp_path / "virtual"))
    return execute(elsewhere, digits_bundle, VirtualFleet(library)).model_digest


@pytest.fixture
def gateway(
    broker: Mosquitto, boards: list[SerialBoard], tmp_path: Path
) -> Iterator[GatewayProcess]:
    del boards
    made = GatewayProcess(broker, tmp_path, FLEET)
    made.start()
    yield made
    made.stop()


def fleet_at(broker: Mosquitto) -> MqttFleet:
    return MqttFleet(parse_broker(f"mqtt://{broker.address}"), Certificates(), FLEET, devices=3)


class Disturbance(SilentObserver):
    """Does something at the first updates, once each."""

    def __init__(self, *harm: Callable[[], None]) -> None:
        self._harm = list(harm)

    def update_accepted(self, number: int, device: int) -> None:
        if self._harm:
            self._harm.pop(0)()

    @property
    def done(self) -> bool:
        return not self._harm


def test_boards_behind_a_gateway_end_with_the_model_of_virtual_devices(
    digits: Config,
    digits_bundle: Path,
    gateway: GatewayProcess,
    broker: Mosquitto,
    undisturbed: str,
) -> None:
    result = execute(digits, digits_bundle, fleet_at(broker))
    assert result.model_digest == undisturbed
    wait_until(lambda: not list(gateway.custody.glob("*.update")))
    assert gateway.stop(signal.SIGINT) == 0
    assert "is settled" in gateway.told


def test_gateway_and_broker_that_are_killed_lose_nothing(
    digits: Config,
    digits_bundle: Path,
    gateway: GatewayProcess,
    broker: Mosquitto,
    undisturbed: str,
) -> None:
    def kill_gateway() -> None:
        gateway.stop()
        gateway.start()

    def kill_broker() -> None:
        broker.stop()
        broker.start()

    harm = Disturbance(kill_gateway, kill_broker, kill_gateway, kill_broker)
    result = execute(digits, digits_bundle, fleet_at(broker), harm)
    assert harm.done
    assert result.model_digest == undisturbed


def test_update_in_custody_outlives_the_broker_and_the_gateway(
    digits: Config, digits_bundle: Path, gateway: GatewayProcess, broker: Mosquitto
) -> None:
    def harm() -> None:
        """The boards finish their round while nobody can hear of it."""
        wait_until(lambda: "round 1 goes down" in gateway.told)
        broker.stop()
        wait_until(lambda: bool(list(gateway.custody.glob("*.update"))))
        gateway.stop()
        gateway.start()
        broker.start()

    thread = threading.Thread(target=harm)
    thread.start()
    result = execute(digits, digits_bundle, fleet_at(broker))
    thread.join()
    assert all(len(row.accepted) == 3 for row in result.rounds)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


TERMS = RoundOpen(3, bytes(8), 1, 0, 0, 0, 16384, 0, 1, 1, 0, 2)


def test_custody_keeps_one_update_for_every_board(tmp_path: Path) -> None:
    custody = Custody(tmp_path / "held")
    assert custody.find(7) is None
    custody.keep(7, TERMS, b"first")
    custody.keep(7, replace(TERMS, round=4), b"second")
    assert Custody(tmp_path / "held").find(7) == (replace(TERMS, round=4), b"second")
    custody.drop(7)
    custody.drop(7)
    assert custody.find(7) is None


def test_custody_counts_its_starts_and_has_a_name(tmp_path: Path) -> None:
    first, second = Custody(tmp_path / "a"), Custody(tmp_path / "b")
    assert [first.count_start(), first.count_start(), second.count_start()] == [1, 2, 1]
    assert first.name() == Custody(tmp_path / "a").name() != second.name()


def test_damaged_update_in_custody_is_named(tmp_path: Path) -> None:
    custody = Custody(tmp_path)
    custody.keep(7, TERMS, b"update")
    path = next(tmp_path.glob("*.update"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match=r"damaged(?s:.)*delete the file"):
        custody.find(7)
