# SPDX-License-Identifier: Apache-2.0
"""Where a broker is, who to be there, and whom to trust."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fleetgrad.errors import ConfigError, LinkError

PASSWORD_VARIABLE = "FG_MQTT_PASSWORD"

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is, and who to be there.

    Attributes:
        host: Name or address.
        port: TCP port.
        tls: Whether it speaks TLS.
        user: Empty for none.
        password: Empty for none.
    """

    host: str
    port: int
    tls: bool
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        """The URL, without who to be."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True)
class Certificates:
    """What TLS works with; empty paths for what is not used.

    Attributes:
        ca: Who may issue the broker's certificate; empty: those that this system trusts.
        cert: This side's certificate.
        key: Its key.
    """

    ca: Path = Path()
    cert: Path = Path()
    key: Path = Path()


def parse_broker(url: str) -> BrokerAddress:
    """Reads ``mqtt://[user[:password]@]host[:port]``, or the same with ``mqtts``.

    The password may also be in the environment, in FG_MQTT_PASSWORD.

    Raises:
        ConfigError: It is no such URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
        raise ConfigError(
            f"{url!r} is no broker", "fleet.broker", "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
        )
    password = parts.password or os.environ.get(PASSWORD_VARIABLE, "")
    return BrokerAddress(
        parts.hostname,
        port or _PORTS[parts.scheme],
        parts.scheme == "mqtts",
        unquote(parts.username or ""),
        unquote(password),
    )


def tls_context(certificates: Certificates) -> ssl.SSLContext:
    """What TLS needs to know.

    Raises:
        LinkError: The files cannot be used.
    """
    empty = Path()
    try:
        where = None if certificates.ca == empty else str(certificates.ca)
        context = ssl.create_default_context(cafile=where)
        if certificates.cert != empty:
            key = None if certificates.key == empty else str(certificates.key)
            context.load_cert_chain(str(certificates.cert), key)
    except (OSError, ssl.SSLError) as error:
        named = [
            str(p) for p in (certificates.ca, certificates.cert, certificates.key) if p != empty
        ]
        raise LinkError(
            f"the certificates cannot be used: {error.strerror or error}",
            where=", ".join(named),
            expected="PEM files",
        ) from error
    return context
