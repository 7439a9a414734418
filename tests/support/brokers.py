# SPDX-License-Identifier: Apache-2.0
"""Mosquitto on a free loopback port, with TLS and passwords where a test wants them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fleetgrad.errors import ToolError
from fleetgrad.link import broker


class Mosquitto(broker.Mosquitto):
    """One broker; the test is skipped where there is none."""

    def __init__(self, directory: Path, *lines: str) -> None:
        try:
            super().__init__(directory, *lines)
        except ToolError as error:
            if "there is no" in error.what:
                pytest.skip(f"{error.what}: {error.hint}")
            raise


def certificates(directory: Path) -> dict[str, Path]:
    """An authority, a broker's certificate for 127.0.0.1, a client's, and another authority."""
    directory.mkdir(parents=True, exist_ok=True)

    def openssl(line: str) -> None:
        subprocess.run(["openssl", *line.split()], check=True, capture_output=True, cwd=directory)

    fresh = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for name in ("ca", "stranger"):
        openssl(f"req -x509 {fresh} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt")
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    issued = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san"
    for name in ("broker", "client"):
        openssl(f"req {fresh} -subj /CN={name} -keyout {name}.key -out {name}.csr")
        openssl(f"x509 -req -in {name}.csr {issued} -out {name}.crt")
    names = ("ca.crt", "stranger.crt", "broker.crt", "broker.key", "client.crt", "client.key")
    return {name: directory / name for name in names}
