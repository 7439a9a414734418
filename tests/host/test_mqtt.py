# SPDX-License-Identifier: Apache-2.0
"""Devices behind a real broker: real firmware, TLS, passwords, and brokers that are killed."""

from __future__ import annotations

import contextlib
import csv
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fleetgrad.cli import main
from fleetgrad.config import Config
from fleetgrad.errors import ConfigError, FleetError, LinkError
from fleetgrad.fleet import MqttFleet, Placement
from fleetgrad.link import BrokerAddress, Certificates, MqttClient, parse_broker
from fleetgrad.link.broker import free_port
from fleetgrad.results import SilentObserver
from fleetgrad.run import execute
from fleetgrad.run.prepare import gather
from support.brokers import Mosquitto, certificates
from support.mqtt_nodes import FLEET, start_nodes


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that lets everybody in."""
    made = Mosquitto(tmp_path / "broker", "allow_anonymous true")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return certificates(tmp_path_factory.mktemp("papers"))


@dataclass(frozen=True)
class Plan:
    """A run of the digits plan over three devices.

    Attributes:
        config: The plan.
        bundle: What the devices run.
        node: Their executable, whose line is a broker.
        placements: Their data.
        undisturbed: The digest that virtual devices with the same data end with.
    """

    config: Config
    bundle: Path
    node: Path
    placements: list[Placement]
    undisturbed: str


@pytest.fixture
def plan(digits: Config, digits_bundle: Path, mqtt_node: Path, undisturbed: str) -> Plan:
    placements = gather(digits, digits_bundle).placements(starts=1)
    return Plan(digits, digits_bundle, mqtt_node, placements, undisturbed)


def nodes(
    plan: Plan, broker: Mosquitto, *words: str
) -> contextlib.AbstractContextManager[list[subprocess.Popen[bytes]]]:
    """One process for every device; a word may hold {user}, the device's id."""
    directory = plan.config.run.dir.parent
    secrets = passwords(directory)
    return start_nodes(
        plan.node, plan.placements, directory, broker.address, *words, passwords=secrets
    )


def passwords(directory: Path) -> dict[str, str]:
    """By user, where a test has made some."""
    file = directory / "acl" / "credentials.csv"
    if not file.exists():
        return {}
    return {row["user"]: row["password"] for row in csv.DictReader(file.open())}


def fleet_at(
    broker: Mosquitto, papers: Certificates | None = None, *, devices: int = 3, **changes: str
) -> MqttFleet:
    address = replace(parse_broker(f"mqtt://{broker.address}"), tls=papers is not None, **changes)
    return MqttFleet(address, papers or Certificates(), FLEET, devices)


def test_devices_behind_a_broker_end_with_the_model_of_virtual_ones(
    plan: Plan, broker: Mosquitto
) -> None:
    with nodes(plan, broker):
        result = execute(plan.config, plan.bundle, fleet_at(broker))
    assert result.fleet == "mqtt"
    assert result.model_digest == plan.undisturbed


def test_broker_that_is_killed_again_and_again_loses_nothing(plan: Plan, broker: Mosquitto) -> None:
    class Killer(SilentObserver):
        kills = 0

        def update_accepted(self, number: int, device: int) -> None:
            if self.kills < 3:
                self.kills += 1
                broker.stop()
                broker.start()

    killer = Killer()
    with nodes(plan, broker):
        result = execute(plan.config, plan.bundle, fleet_at(broker), killer)
    assert killer.kills == 3
    assert result.model_digest == plan.undisturbed


def test_tls_with_certificates_on_both_sides(
    plan: Plan, papers: dict[str, Path], tmp_path: Path
) -> None:
    broker = Mosquitto(
        tmp_path / "tls",
        "allow_anonymous true",
        f"cafile {papers['ca.crt']}",
        f"certfile {papers['broker.crt']}",
        f"keyfile {papers['broker.key']}",
        "require_certificate true",
    )
    mine = Certificates(papers["ca.crt"], papers["client.crt"], papers["client.key"])
    words = [
        word
        for name, path in (("--ca", mine.ca), ("--cert", mine.cert), ("--key", mine.key))
        for word in (name, str(path))
    ]
    try:
        with nodes(plan, broker, *words):
            result = execute(plan.config, plan.bundle, fleet_at(broker, mine))
        assert result.model_digest == plan.undisturbed
        with pytest.raises(LinkError, match="certificate does not verify"):
            fleet_at(broker, replace(mine, ca=papers["stranger.crt"])).discover(1)
        with pytest.raises(LinkError, match=r"TLS with the broker fails|hangs up on us"):
            fleet_at(broker, Certificates(mine.ca)).discover(1)
        with pytest.raises(LinkError, match="the certificates cannot be used"):
            fleet_at(broker, Certificates(tmp_path / "none.crt")).discover(1)
    finally:
        broker.stop()


def test_access_list_pins_every_device_to_its_own_topics(plan: Plan, tmp_path: Path) -> None:
    ids = [f"{placement.device:016x}" for placement in plan.placements]
    assert main(["mqtt", "acl", *ids, "--fleet", FLEET, "-o", str(tmp_path / "acl"), "-q"]) == 0
    known = passwords(tmp_path)
    rules = (f"acl_file {tmp_path}/acl/acl", f"password_file {tmp_path}/acl/passwords")
    broker = Mosquitto(tmp_path / "closed", *rules)
    host = {"user": "fleetgrad", "password": known["fleetgrad"]}
    try:
        with nodes(plan, broker, "--user", "{user}"):
            result = execute(plan.config, plan.bundle, fleet_at(broker, **host))
        assert result.model_digest == plan.undisturbed
        with pytest.raises(LinkError, match=r"refuses us: (bad user|not auth)"):
            fleet_at(broker, user="fleetgrad", password="guess").discover(1)
        heard: list[str] = []
        address = replace(parse_broker(f"mqtt://{broker.address}"), **host)
        listener = MqttClient(address, Certificates(), "ear", lambda topic, _: heard.append(topic))
        listener.subscribe(f"fg/1/{FLEET}/#")
        address = replace(address, user=ids[0], password=known[ids[0]])
        thief = MqttClient(address, Certificates(), "thief", lambda *_: None)
        for device in ids[:2]:
            thief.publish(f"fg/1/{FLEET}/{device[-2:]}/{device}/up", b"x")
        wait_until(lambda: any(ids[0] in topic and topic.endswith("up") for topic in heard))
        time.sleep(0.3)
        assert not any(ids[1] in topic and topic.endswith("/up") for topic in heard)
        thief.close()
        listener.close()
    finally:
        broker.stop()


def wait_until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_device_that_leaves_is_no_longer_present(
    plan: Plan, broker: Mosquitto, tmp_path: Path
) -> None:
    fleet = fleet_at(broker, devices=0)
    try:
        with nodes(plan, broker) as running:
            assert len(fleet.discover(10)) == 3
            running[0].kill()
            wait_until(lambda: len(fleet.discover(10)) == 2)
    finally:
        fleet.stop()


def test_fleet_without_devices_is_a_named_failure(
    digits: Config, digits_bundle: Path, broker: Mosquitto
) -> None:
    hasty = replace(digits, rounds=replace(digits.rounds, timeout_s=0.5))
    with pytest.raises(FleetError, match=r"no device of the fleet 'barn' is present"):
        execute(hasty, digits_bundle, fleet_at(broker))


def test_broker_that_is_away_is_named() -> None:
    with pytest.raises(LinkError, match="the broker cannot be reached: Connection refused"):
        MqttClient(parse_broker("mqtt://127.0.0.1:1"), Certificates(), "x", lambda *_: None)


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://x", "mqtt://", "mqtt://x:y", "mqtt://x/a"]
)
def test_url_of_no_broker_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match=r"is no broker(?s:.)*fleet.broker"):
        parse_broker(url)


def test_node_says_what_is_wrong_with_its_line(
    plan: Plan, broker: Mosquitto, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(plan.placements[0].image)
    for words, message in (
        ([], "there is no broker"),
        (["--broker", broker.address], "a device on a broker needs a data image"),
        (["--broker", "nowhere", "--image", str(image)], "expected HOST:PORT"),
        (
            ["--broker", broker.address, "--image", str(image), "--fleet", "a/b"],
            "not a name that topics can have",
        ),
    ):
        command = [plan.node, *words]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
        assert ended.returncode == 2
        assert message in ended.stderr


def test_nodes_wait_for_a_broker_that_comes_later(plan: Plan, broker: Mosquitto) -> None:
    broker.stop()
    with nodes(plan, broker):
        later = threading.Timer(0.5, broker.start)
        later.start()
        later.join()
        assert execute(plan.config, plan.bundle, fleet_at(broker)).model_digest == plan.undisturbed


def test_current_version_is_announced_and_stays_announced(plan: Plan, broker: Mosquitto) -> None:
    with nodes(plan, broker):
        result = execute(plan.config, plan.bundle, fleet_at(broker))
    heard: list[bytes] = []
    address = parse_broker(f"mqtt://{broker.address}")
    listener = MqttClient(address, Certificates(), "ear", lambda _, data: heard.append(data))
    listener.subscribe(f"fg/1/{FLEET}/model")  # after the run: what comes now was retained
    try:
        wait_until(lambda: heard)
    finally:
        listener.close()
    assert len(heard[0]) <= 256
    assert json.loads(heard[0]) == {
        "run": result.run_id,
        "round": None,
        "version": result.version,
        "digest": result.model_digest,
    }


def test_devices_come_in_with_keys_that_both_sides_know(
    plan: Plan, papers: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = [f"{placement.device:016x}" for placement in plan.placements]
    out = tmp_path / "acl"
    assert main(["mqtt", "acl", *ids, "--fleet", FLEET, "--psk", "-o", str(out)]) == 0
    assert "use_identity_as_username" in capfd.readouterr().err
    known = passwords(tmp_path)
    assert (out / "psk").stat().st_mode & 0o077 == 0
    tls = free_port()
    broker = Mosquitto(
        tmp_path / "keys",
        "per_listener_settings true",
        "use_identity_as_username true",
        f"psk_file {out}/psk",
        f"psk_hint {FLEET}",
        f"acl_file {out}/acl",
        f"listener {tls} 127.0.0.1",
        f"cafile {papers['ca.crt']}",
        f"certfile {papers['broker.crt']}",
        f"keyfile {papers['broker.key']}",
        f"acl_file {out}/acl",
        f"password_file {out}/passwords",
    )
    key = tmp_path / "{user}.key"
    for user in ids:
        Path(str(key).format(user=user)).write_text(known[user] + "\n")
    host = BrokerAddress("127.0.0.1", tls, True, "fleetgrad", known["fleetgrad"])
    trust = Certificates(papers["ca.crt"])
    try:
        with nodes(plan, broker, "--psk", str(key)):
            result = execute(plan.config, plan.bundle, MqttFleet(host, trust, FLEET, 3))
        assert result.model_digest == plan.undisturbed
        Path(str(key).format(user=ids[0])).write_text("00" * 32)
        stranger = MqttFleet(host, trust, FLEET, 1)
        alone = replace(plan, placements=plan.placements[:1])
        with (
            nodes(alone, broker, "--psk", str(key)),
            pytest.raises(FleetError, match="no device of the fleet"),
        ):
            stranger.discover(1.5)
        stranger.stop()
        with pytest.raises(LinkError, match=r"TLS with the broker fails(?s:.)*pre-shared key"):
            MqttFleet(replace(host, port=broker.port), trust, FLEET, 1).discover(1)
    finally:
        broker.stop()
