# SPDX-License-Identifier: Apache-2.0
"""A run over MQTT where no broker is configured."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from fleetgrad.cli import main
from fleetgrad.config import Config
from fleetgrad.errors import ConfigError, LinkError, ToolError
from fleetgrad.fleet import MqttFleet
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.link.broker import free_port
from fleetgrad.link.embedded import PORT, EmbeddedBroker, embedded_port
from fleetgrad.run import execute
from fleetgrad.run.prepare import gather
from support.mqtt_nodes import FLEET, start_nodes

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits" / "fleetgrad.toml"


def test_devices_at_the_embedded_broker_end_with_the_model_of_virtual_ones(
    digits: Config, digits_bundle: Path, mqtt_node: Path, undisturbed: str
) -> None:
    port, folder = free_port(), digits.run.dir.parent
    placements = gather(digits, digits_bundle).placements(starts=1)
    address = parse_broker(f"mqtt://127.0.0.1:{port}")
    with start_nodes(mqtt_node, placements, folder, f"127.0.0.1:{port}"):
        fleet = MqttFleet(address, Certificates(), FLEET, 3, embedded=port)
        assert execute(digits, digits_bundle, fleet).model_digest == undisturbed


def test_run_without_a_broker_brings_its_own_and_says_so(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = free_port()
    overrides = (f"run.dir={tmp_path}", "rounds.timeout_s=0.5", f"fleet.broker=embedded:{port}")
    words = [word for text in overrides for word in ("--set", text)]
    assert main(["run", "--config", str(EXAMPLE), "--fleet", "mqtt", *words]) == 1
    said = capfd.readouterr().err
    first = said.splitlines()[0]
    assert "no broker is configured" in first
    assert f"mqtt://127.0.0.1:{port}" in first
    assert "no device of the fleet" in said


def test_port_that_is_taken_is_named() -> None:
    port = free_port()
    with contextlib.closing(EmbeddedBroker(port)), pytest.raises(LinkError, match="cannot listen"):
        EmbeddedBroker(port)


def test_broker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(ToolError, match=r"not installed(?s:.)*fleetgrad\[broker\]"):
        EmbeddedBroker(free_port())


def test_names_of_the_embedded_broker() -> None:
    assert embedded_port("") == embedded_port("embedded") == PORT
    assert embedded_port("embedded:1884") == 1884
    assert embedded_port("mqtt://there") is None
    for text in ("embedded:", "embedded:x", "embedded:0", "embedded:65536"):
        with pytest.raises(ConfigError, match="names no port"):
            embedded_port(text)
