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


@click.group()
def command() -> None:
    """Prepares an MQTT broker for a fleet."""


@command.command()
@click.argument("devices", nargs=-1, required=True)
@click.option("--fleet", default="fleet", show_default=True, help="fleet.name of the project.")
@click.option("--gateway", "gateways", multiple=True, help="A user for a gateway; may repeat.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A folder.")
@verb
def acl(
    ui: Ui, devices: tuple[str, ...], fleet: str, gateways: tuple[str, ...], output: Path
) -> None:
    """Writes Mosquitto's `acl` and `passwords`, which pin DEVICES (ids) to topics of their own.

    `credentials.csv` holds the passwords in clear, for the devices and for FG_MQTT_PASSWORD; every
    call makes new ones.
    """
    if not 0 < len(fleet.encode()) <= 64 or set(fleet) & set("/+#\0"):
        raise UsageError(f"{fleet!r} is no fleet's name", "--fleet", "1 to 64 bytes without / + #")
    users = [HOST_USER, *gateways, *(f"{_device(text):016x}" for text in devices)]
    if len(set(users)) < len(users):
        twice = sorted({user for user in users if users.count(user) > 1})
        raise UsageError(f"{twice[0]} is named twice", "DEVICES and --gateway")
    passwords = {user: secrets.token_urlsafe(_PASSWORD_BYTES) for user in users}
    lines = [
        password_line(user, password, secrets.token_bytes(SALT_BYTES))
        for user, password in passwords.items()
    ]
    output.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("user", "password"), *passwords.items()])
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
    ui.result({"users": users, "folder": str(output)}, f"{len(users)} users in {output}")


def _rights_of_gateway(fleet: str) -> dict[str, str]:
    return _rights_of_device(fleet, "+") | {topics.pattern(fleet, "+", "gateway"): "write"}


def _rights_of_device(fleet: str, user: str) -> dict[str, str]:
    rights = {"up": "write", "presence": "write", "dn": "read"}
    return {topics.pattern(fleet, user, leaf): right for leaf, right in rights.items()}


def _device(text: str) -> int:
    try:
        device = int(text, 16)
    except ValueError:
        device = -1
    if not 0 <= device < 1 << 64:
        raise UsageError(f"{text!r} is no device id", "DEVICES", "up to 16 hexadecimal digits")
    return device
