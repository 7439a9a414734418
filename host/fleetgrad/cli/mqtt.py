# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad mqtt`: what a broker must know of a fleet."""

from __future__ import annotations

import csv
import io
import secrets
from pathlib import Path

import click

from fleetgrad.errors import UsageError
from fleetgrad.link.mosquitto import SALT_BYTES, access_list, password_file, password_line
from fleetgrad.wire import topics

from .files import write_bytes
from .ui import Ui, verb

HOST_USER = "fleetgrad"
_PASSWORD_BYTES = 18
_KEY_BYTES = 32


@click.group()
def command() -> None:
    """Prepares an MQTT broker for a fleet."""


@command.command()
@click.argument("devices", nargs=-1, required=True)
@click.option("--fleet", default="fleet", show_default=True, help="fleet.name of the project.")
@click.option("--gateway", "gateways", multiple=True, help="A user for a gateway; may repeat.")
@click.option("--psk", is_flag=True, help="Devices come in with keys that both sides know.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A folder.")
@verb
def acl(
    ui: Ui,
    devices: tuple[str, ...],
    fleet: str,
    gateways: tuple[str, ...],
    output: Path,
    *,
    psk: bool,
) -> None:
    """Writes Mosquitto's `acl` and `passwords`, which pin DEVICES (ids) to topics of their own.

    `credentials.csv` holds the passwords in clear, for the devices and for FG_MQTT_PASSWORD; every
    call makes new ones. With --psk, devices have keys for TLS instead, which `psk` holds for the
    broker; the host and gateways keep to passwords, because Python's TLS has no such keys before
    3.13.
    """
    if not 0 < len(fleet.encode()) <= 64 or set(fleet) & set("/+#\0"):
        raise UsageError(f"{fleet!r} is no fleet's name", "--fleet", "1 to 64 bytes without / + #")
    named = [f"{_device(text):016x}" for text in devices]
    users = [HOST_USER, *gateways, *named]
    if len(set(users)) < len(users):
        twice = sorted({user for user in users if users.count(user) > 1})
        raise UsageError(f"{twice[0]} is named twice", "DEVICES and --gateway")
    keys = {user: secrets.token_hex(_KEY_BYTES) for user in named} if psk else {}
    passwords = {user: secrets.token_urlsafe(_PASSWORD_BYTES) for user in users if user not in keys}
    lines = [
        password_line(user, password, secrets.token_bytes(SALT_BYTES))
        for user, password in passwords.items()
    ]
    output.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        [("user", "password"), *passwords.items(), *keys.items()]
    )
    access = access_list(
        {HOST_USER: {topics.root(fleet): "readwrite"}}
        | {name: _rights_of_gateway(fleet) for name in gateways},
        _rights_of_device(fleet, "%u"),
    )
    write_bytes(output / "acl", access.encode())
    write_bytes(output / "passwords", password_file(lines).encode())
    write_bytes(output / "credentials.csv", table.getvalue().encode())
    (output / "credentials.csv").chmod(0o600)
    ui.note(f"mosquitto.conf: acl_file {output}/acl and password_file {output}/passwords")
    if psk:
        write_bytes(output / "psk", password_file(f"{u}:{key}" for u, key in keys.items()).encode())
        (output / "psk").chmod(0o600)
        ui.note(
            f"and for the devices' listener: psk_file {output}/psk, psk_hint {fleet},"
            " use_identity_as_username true"
        )
    ui.result({"users": users, "folder": str(output)}, f"{len(users)} users in {output}")


def _rights_of_gateway(fleet: str) -> dict[str, str]:
    return _rights_of_device(fleet, "+") | {topics.pattern(fleet, "+", "gateway"): "write"}


def _rights_of_device(fleet: str, user: str) -> dict[str, str]:
    rights = {"up": "write", "presence": "write", "dn": "read"}
    own = {topics.pattern(fleet, user, leaf): right for leaf, right in rights.items()}
    return {**own, topics.model(fleet): "read"}


def _device(text: str) -> int:
    try:
        device = int(text, 16)
    except ValueError:
        device = -1
    if not 0 <= device < 1 << 64:
        raise UsageError(f"{text!r} is no device id", "DEVICES", "up to 16 hexadecimal digits")
    return device
