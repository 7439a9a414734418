# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad gateway`: boards on serial ports become devices behind a broker, until Ctrl-C."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import click

from fleetgrad import bundle as bundles
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.device import Expected
from fleetgrad.fleet import Panel
from fleetgrad.gateway import Custody, Gateway
from fleetgrad.link import Certificates, MqttClient, parse_broker
from fleetgrad.store import layout_of

from .bundles import make_bundle
from .project import configured
from .ui import Ui, verb


@click.command()
@click.option("--serial", "ports", multiple=True, help="Instead of fleet.ports; may be repeated.")
@click.option("--broker", metavar="URL", help="Instead of fleet.broker.")
@verb
@configured
def command(ui: Ui, config: Config, ports: tuple[str, ...], broker: str | None) -> None:
    """Bridges boards on serial ports to a broker; updates wait on disk until they are settled."""
    fleet = config.fleet
    fleet = replace(fleet, ports=ports or fleet.ports, broker=broker or fleet.broker)
    address = parse_broker(fleet.broker)
    folder = config.run.dir / "gateway"
    custody = Custody(folder)
    make_bundle(config, load_board(paths.boards(), fleet.board)).write(folder / "bundle")
    bundle = bundles.load(folder / "bundle")
    shape = layout_of(bundle).shape
    gateway = Gateway(
        fleet.name,
        lambda device: Expected(device, bundle.digest[:8], shape),
        custody,
        ui.note,
    )
    papers = Certificates(fleet.ca, fleet.cert, fleet.key)
    name = f"fleetgrad-gateway-{custody.name()}"
    client = MqttClient(address, papers, name, gateway.receive, ui.note)
    panel = Panel(fleet.ports, fleet.baud, ui.note)
    ui.note(f"at {address}, fleet {fleet.name}; Ctrl-C stops it, and the boards run on")
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not an accident
            gateway.serve(
                client,
                lambda: panel.sightings(lambda _: True, 0.0),
                panel.link,
                lambda: False,
            )
    finally:
        client.close()
        panel.stop()
        gateway.close()
    ui.result({"gateway": name}, "stopped")
