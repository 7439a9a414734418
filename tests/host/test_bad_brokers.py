# SPDX-License-Identifier: Apache-2.0
"""Brokers that let nobody in, and devices that share an id: refused, and the log says why."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetgrad.cli import main
from fleetgrad.config import Config
from fleetgrad.errors import FleetError, LinkError
from fleetgrad.fleet import MqttFleet
from fleetgrad.link import Certificates, MqttClient, parse_broker
from fleetgrad.run import execute
from fleetgrad.run.prepare import gather
from fleetgrad.store import Store
from fleetgrad.wire import topics
from fleetgrad.wire.framing import encode_message
from fleetgrad.wire.messages import Chunk
from support.brokers import Mosquitto, certificates
from support.mqtt_nodes import FLEET, start_nodes

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits" / "fleetgrad.toml"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path / "broker", "allow_anonymous true")
    yield made
    made.stop()


def told(config: Config, capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What `fleetgrad log` tells."""
    capfd.readouterr()
    words = ["--config", str(EXAMPLE), "--set", f"run.dir={config.run.dir}", "--json"]
    assert main(["log", *words]) == 0
    events = json.loads(capfd.readouterr().out)["events"]
    assert isinstance(events, list)
    return events


def fleet_at(broker: Mosquitto, **changes: Any) -> MqttFleet:
    address = replace(parse_broker(f"mqtt://{broker.address}"), **changes)
    return MqttFleet(address, Certificates(), FLEET, 3)


def test_wrong_password_is_told_by_the_log(
    digits: Config, digits_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["mqtt", "acl", "1", "--fleet", FLEET, "-o", str(tmp_path / "acl"), "-q"]) == 0
    broker = Mosquitto(tmp_path / "closed", f"password_file {tmp_path}/acl/passwords")
    try:
        with pytest.raises(LinkError, match="refuses us"):
            execute(digits, digits_bundle, fleet_at(broker, user="fleetgrad", password="guess"))
    finally:
        broker.stop()
    (event,) = told(digits, capfd)
    assert event["kind"] == "failed"
    assert "the broker refuses us" in event["text"]
    assert broker.address in event["text"]


def test_certificate_that_does_not_verify_is_told_by_the_log(
    digits: Config, digits_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    papers = certificates(tmp_path / "papers")
    broker = Mosquitto(
        tmp_path / "tls",
        "allow_anonymous true",
        f"certfile {papers['broker.crt']}",
        f"keyfile {papers['broker.key']}",
    )
    address = replace(parse_broker(f"mqtt://{broker.address}"), tls=True)
    fleet = MqttFleet(address, Certificates(papers["stranger.crt"]), FLEET, 3)
    try:
        with pytest.raises(LinkError, match="does not verify"):
            execute(digits, digits_bundle, fleet)
    finally:
        broker.stop()
    (event,) = told(digits, capfd)
    assert "the broker's certificate does not verify" in event["text"]


@contextlib.contextmanager
def impostor(answer: bytes) -> Iterator[str]:
    """Something that takes connections, says this once it is spoken to, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"mqtt://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00\x63", b"\xff" * 64]
)
def test_what_is_no_broker_is_named(answer: bytes) -> None:
    with impostor(answer) as url, pytest.raises(LinkError, match=r"the broker"):
        MqttClient(parse_broker(url), Certificates(), "x", lambda *_: None)


def test_records_of_strangers_disturb_nothing(
    digits: Config, digits_bundle: Path, mqtt_node: Path, undisturbed: str, broker: Mosquitto
) -> None:
    """Of another fleet, of no device, of a device that is not in the run, and of none's making."""
    placements = gather(digits, digits_bundle).placements(starts=1)
    device = placements[0].device
    address = parse_broker(f"mqtt://{broker.address}")
    stranger = MqttClient(address, Certificates(), "stranger", lambda *_: None)
    stop = threading.Event()

    def shout() -> None:
        update = encode_message(Chunk(1, 0, b"x" * 50), 5, 0)
        while not stop.wait(0.02):
            stranger.publish(topics.topic("another", device, "up"), update)
            stranger.publish(topics.topic(FLEET, 0xABCDEF, "up"), update)
            stranger.publish(topics.topic(FLEET, device, "up"), update)
            stranger.publish(topics.topic(FLEET, device, "up"), b"\xff" * 3000)
            stranger.publish(topics.topic(FLEET, 0xABCDEF, "presence"), b"rubbish", retain=True)
            stranger.publish(f"fg/1/{FLEET}/zz/not-an-id/up", update)

    shouting = threading.Thread(target=shout)
    shouting.start()
    try:
        with start_nodes(mqtt_node, placements, digits.run.dir.parent, broker.address):
            result = execute(digits, digits_bundle, fleet_at(broker))
    finally:
        stop.set()
        shouting.join()
        stranger.close()
    assert result.model_digest == undisturbed
    with Store(digits.run.dir, writing=False) as store:
        ignored = [e for e in store.ledger.events(result.run_id) if e.kind == "ignored"]
    assert any("a session that is not this one" in e.text for e in ignored if e.device == device)
    assert all(e.device == device for e in ignored if "length" in e.text)


def test_id_that_two_devices_claim_is_told_and_counts_once(
    digits: Config,
    digits_bundle: Path,
    mqtt_node: Path,
    broker: Mosquitto,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Two clients with one id throw each other out; the broker lets one in at a time."""
    patient = replace(digits, rounds=replace(digits.rounds, count=40, timeout_s=8.0, retries=0))
    placements = gather(patient, digits_bundle).placements(starts=1)
    folder = patient.run.dir.parent
    (folder / "twin").mkdir()
    with (
        start_nodes(mqtt_node, placements, folder, broker.address),
        start_nodes(mqtt_node, placements[:1], folder / "twin", broker.address),
        contextlib.suppress(FleetError),
        contextlib.suppress(Exception),
    ):
        execute(patient, digits_bundle, fleet_at(broker))
    events = told(patient, capfd)
    with Store(patient.run.dir, writing=False) as store:
        (row,) = store.ledger.runs()
        held = [(u.round, u.device) for u in store.ledger.updates(row.run_id)]
    assert len(held) == len(set(held))
    claims = [e for e in events if e["kind"] == "fleet" and "do two devices" in e["text"]]
    assert claims
    assert {e["device"] for e in claims} == {placements[0].device}
