# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad gateway`: boards on ports become devices behind a broker, or one sum; until Ctrl-C."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial

import click

from fleetgrad import bundle as bundles
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.device import Expected, Identity
from fleetgrad.errors import ConfigError, UsageError
from fleetgrad.federation.strategies import Averaging, make_strategy
from fleetgrad.fleet import MqttFleet, Panel, Sighting
from fleetgrad.gateway import Boards, Custody, Front, Gateway, Proxies, Sums
from fleetgrad.link import Certificates, MqttClient, SocketLink, SwitchedLink, parse_broker
from fleetgrad.store import layout_of
from fleetgrad.toolchain.fold import find_fold

from .bundles import make_bundle
from .project import configured
from .ui import Ui, verb


@click.command()
@click.option("--serial", "ports", multiple=True, help="Instead of fleet.ports; may be repeated.")
@click.option("--broker", metavar="URL", help="Instead of fleet.broker.")
@click.option("--aggregate", is_flag=True, help="Send the sum of a round's updates, not each.")
@click.option("--below", metavar="FLEET", help="Devices of that fleet at the broker, not ports.")
@click.option("--shard", metavar="I/N", default="0/1", help="Only the I-th of N parts of --below.")
@verb
@configured
def command(
    ui: Ui,
    config: Config,
    *,
    ports: tuple[str, ...],
    broker: str | None,
    aggregate: bool,
    below: str | None,
    shard: str,
) -> None:
    """Bridges boards to a broker; updates wait on disk until they are settled."""
    part, parts = _shard(shard)
    if below is None and parts > 1:
        raise UsageError("--shard divides a fleet at a broker", hint="name it with --below")
    if below == config.fleet.name:
        raise UsageError(
            f"a gateway cannot stand between the fleet {below!r} and itself",
            where="--below",
            expected="another name than fleet.name, which the gateway is a part of",
        )
    fleet = config.fleet
    fleet = replace(fleet, ports=ports or fleet.ports, broker=broker or fleet.broker)
    address = parse_broker(fleet.broker)
    strategy = make_strategy(config.strategy.name, config.strategy.options, asdict(config.train))
    if aggregate and not isinstance(strategy, Averaging):
        raise ConfigError(
            f"{strategy.name} compares updates, and --aggregate sends sums of them",
            where="strategy.name",
            hint="a strategy that averages, or a gateway without --aggregate",
        )
    folder = config.run.dir / ("gateway" if parts == 1 else f"gateway-{part}-of-{parts}")
    custody = Custody(folder)
    make_bundle(config, load_board(paths.boards(), fleet.board)).write(folder / "bundle")
    bundle = bundles.load(folder / "bundle")
    layout = layout_of(bundle)
    numbers = strategy.numbers if isinstance(strategy, Averaging) else 1
    boards = Boards(
        lambda device: Expected(device, bundle.digest[:8], layout.shape), ui.note, numbers
    )
    papers = Certificates(fleet.ca, fleet.cert, fleet.key)
    starts = custody.count_start()
    front: Front = Proxies(boards, custody, starts, ui.note)
    if aggregate:
        assert isinstance(strategy, Averaging)
        identity = Identity(custody.identity(), bundle.digest[:8], 0, 0, 0, starts)
        front = Sums(
            identity,
            boards,
            custody,
            strategy=strategy,
            layout=layout,
            fold=find_fold(ui.note),
            tell=ui.note,
        )
    gateway = Gateway(fleet.name, boards, front, ui.note)
    name = f"fleetgrad-gateway-{custody.name()}"
    client = MqttClient(address, papers, name, gateway.receive, ui.note)
    with ExitStack() as stack:
        stack.callback(boards.close)
        look: Callable[[], Sequence[Sighting]]
        link: Callable[[int], SocketLink | SwitchedLink]
        if below is None:
            panel = Panel(fleet.ports, fleet.baud, ui.note)
            stack.callback(panel.stop)
            look, link = partial(panel.sightings, lambda _: True, 0.0), panel.link
        else:
            devices = MqttFleet(address, papers, below, 0, ui.note, shard=(part, parts))
            stack.callback(devices.stop)
            look, link = devices.sightings, devices.link
        stack.callback(client.close)
        ui.note(f"at {address}, fleet {fleet.name}; Ctrl-C stops it, and the boards run on")
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not an accident
            gateway.serve(client, look, link, lambda: False)
    ui.result({"gateway": name}, "stopped")


def _shard(text: str) -> tuple[int, int]:
    """Reads ``I/N``."""
    part, slash, parts = text.partition("/")
    if slash and part.isdecimal() and parts.isdecimal() and int(part) < int(parts) <= 256:
        return int(part), int(parts)
    raise UsageError(
        f"{text!r} is no part of a fleet", "--shard", "I/N with 0 <= I < N <= 256, e.g. 0/8"
    )
