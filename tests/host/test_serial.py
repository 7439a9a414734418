# SPDX-License-Identifier: Apache-2.0
"""Boards on serial ports: real firmware, pseudo terminals, and cables that are pulled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgrad.config import Config
from fleetgrad.errors import ConfigError, FleetError, LinkError
from fleetgrad.fleet import Panel, SerialFleet, VirtualFleet
from fleetgrad.link import SerialPort, matching
from fleetgrad.results import SilentObserver
from fleetgrad.run import execute
from fleetgrad.run.prepare import gather
from support.serial_boards import Rfc2217Server, SerialBoard, idle_port

BAUD = 115200


@pytest.fixture
def ports(tmp_path: Path) -> Path:
    """Stands for /dev."""
    folder = tmp_path / "dev"
    folder.mkdir()
    return folder


@pytest.fixture
def boards(
    digits: Config, digits_bundle: Path, node: Path, ports: Path, tmp_path: Path
) -> Iterator[list[SerialBoard]]:
    """The boards of the digits plan, none of them plugged in."""
    placements = gather(digits, digits_bundle).placements(starts=1)
    made = [
        SerialBoard(node, placement.image, ports, tmp_path / f"board{number}")
        for number, placement in enumerate(placements)
    ]
    yield made
    for board in made:
        board.unplug()


@pytest.fixture
def undisturbed(digits: Config, digits_bundle: Path, library: Path, tmp_path: Path) -> str:
    """The digest that virtual devices with the same data end with."""
    elsewhere = replace(digits, run=replace(digits.run, dir=tmp_path / "virtual"))
    return execute(elsewhere, digits_bundle, VirtualFleet(library)).model_digest


def plug_all(boards: list[SerialBoard]) -> None:
    for number, board in enumerate(boards):
        board.plug(f"ttyACM{number}", b"boot: ROM v2\r\nok\r\n")


def fleet_of(ports: Path, devices: int = 0) -> SerialFleet:
    return SerialFleet((f"{ports}/ttyACM*",), BAUD, devices)


def test_boards_on_ports_end_with_the_model_of_virtual_devices(
    digits: Config,
    digits_bundle: Path,
    undisturbed: str,
    boards: list[SerialBoard],
    ports: Path,
) -> None:
    plug_all(boards)
    serial = execute(digits, digits_bundle, fleet_of(ports))
    assert serial.fleet == "serial"
    assert serial.model_digest == undisturbed


def test_board_that_is_unplugged_in_a_round_goes_on_under_another_name(
    digits: Config,
    digits_bundle: Path,
    undisturbed: str,
    boards: list[SerialBoard],
    ports: Path,
) -> None:
    pulled = threading.Event()

    class Puller(SilentObserver):
        def update_accepted(self, number: int, device: int) -> None:
            if number == 2 and not pulled.is_set():
                pulled.set()
                boards[-1].unplug()
                boards[-1].plug("ttyACM9", b"rst:0x1 (POWERON_RESET)\r\n")

    plug_all(boards)
    serial = execute(digits, digits_bundle, fleet_of(ports), Puller())
    assert pulled.is_set()
    assert serial.model_digest == undisturbed
    assert all(not row.dropped for row in serial.rounds)


def test_interrupted_run_awaits_the_boards_that_it_began_with(
    digits: Config, digits_bundle: Path, boards: list[SerialBoard], ports: Path
) -> None:
    class Leaving(SilentObserver):
        def update_accepted(self, number: int, device: int) -> None:
            if number == 2:
                raise KeyboardInterrupt

    plug_all(boards)
    with pytest.raises(KeyboardInterrupt):
        execute(digits, digits_bundle, fleet_of(ports), Leaving())
    boards[0].unplug()
    later = threading.Timer(1.0, boards[0].plug, ("ttyACM5",))
    later.start()
    resumed = execute(digits, digits_bundle, fleet_of(ports))
    later.join()
    assert resumed.resumed
    assert all(len(row.accepted) == len(boards) for row in resumed.rounds)


def test_every_port_tells_what_it_is_about(
    boards: list[SerialBoard], ports: Path, node: Path, digits: Config, digits_bundle: Path
) -> None:
    image = gather(digits, digits_bundle).placements(starts=1)[0].image
    twin = SerialBoard(node, image, ports, ports.parent / "twin")
    boards[0].plug("ttyACM0")
    boards[1].plug("ttyACM1")
    holder = SerialPort(boards[1].port, BAUD)
    panel = Panel((f"{ports}/ttyACM*", "socket://127.0.0.1:1"), BAUD)
    try:
        panel.sightings(lambda seen: any(s.identity for s in seen), 5)
        twin.plug("ttyACM2")
        with (
            idle_port(ports, "ttyACM3"),
            idle_port(ports, "ttyACM4", bytes(range(128, 256))),
            idle_port(ports, "ttyACM5", b"MicroPython v1.24 on 2026-01-01\r\n>>> " * 4),
        ):
            words = ("already", "nothing answers", "baud rate", "text comes", "busy", "nobody")
            found = panel.sightings(
                lambda seen: all(any(w in s.problem for s in seen) for w in words), 10
            )
    finally:
        panel.stop()
        holder.close()
        twin.unplug()
    told = {Path(s.url).name: s.problem for s in found}
    assert told["ttyACM0"] == ""
    assert told["ttyACM1"] == "the port is busy"
    assert "ttyACM0 already" in told["ttyACM2"]
    assert told["ttyACM3"].startswith("nothing answers")
    assert told["ttyACM4"].endswith("the baud rate is probably wrong")
    assert told["ttyACM5"].startswith("text comes, but no frame")
    assert told["127.0.0.1:1"] == "nobody listens there"


def test_no_board_at_all_is_a_named_failure(
    digits: Config, digits_bundle: Path, ports: Path
) -> None:
    hasty = replace(digits, rounds=replace(digits.rounds, timeout_s=0.5))
    with pytest.raises(FleetError, match="there is no serial port"):
        execute(hasty, digits_bundle, fleet_of(ports))
    with (
        idle_port(ports, "ttyACM0"),
        pytest.raises(FleetError, match=r"no board answers(?s:.)*ttyACM0: nothing answers"),
    ):
        execute(hasty, digits_bundle, fleet_of(ports))


def test_too_few_boards_are_named(
    digits: Config, digits_bundle: Path, boards: list[SerialBoard], ports: Path
) -> None:
    boards[0].plug("ttyACM0")
    wanting = replace(digits, rounds=replace(digits.rounds, min_updates=2))
    with pytest.raises(ConfigError, match=r"min_updates = 2 can never(?s:.)*at most 1"):
        execute(wanting, digits_bundle, fleet_of(ports))


def test_terminal_server_is_a_port_too(boards: list[SerialBoard], ports: Path) -> None:
    boards[0].plug("ttyACM0")
    server = Rfc2217Server(boards[0].port)
    panel = Panel((server.url,), BAUD)
    try:
        (found,) = panel.sightings(lambda seen: any(s.identity for s in seen), 10)
    finally:
        panel.stop()
        server.close()
    assert found.identity is not None, found.problem


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/dev/ttyNONE", "there is no such port"),
        ("carrier-pigeon://x", "no port"),
        ("socket://127.0.0.1:1", "nobody listens there"),
    ],
)
def test_port_that_cannot_be_opened_is_named(url: str, message: str) -> None:
    with pytest.raises(LinkError, match=message):
        SerialPort(url, BAUD)


def test_wildcards_name_what_is_there_and_urls_themselves(tmp_path: Path) -> None:
    for name in ("b1", "a1", "c"):
        (tmp_path / name).touch()
    url = "socket://host:1"
    assert matching((f"{tmp_path}/*1", url, f"{tmp_path}/b1")) == [
        f"{tmp_path}/a1",
        f"{tmp_path}/b1",
        url,
    ]
