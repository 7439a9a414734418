# SPDX-License-Identifier: Apache-2.0
"""Mosquitto on a free loopback port, with TLS and passwords where a test wants them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker, which can be killed and started again.

    Args:
        directory: For its files.
        lines: More of its configuration.
    """

    def __init__(self, directory: Path, *lines: str) -> None:
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            pytest.skip("no mosquitto: apt install mosquitto")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        config = directory / "mosquitto.conf"
        own = ("persistence true", f"persistence_location {directory}/", "autosave_interval 1")
        user = ("user root",) if os.geteuid() == 0 else ()
        text = "\n".join((f"listener {self.port} 127.0.0.1", *own, *user, *lines))
        config.write_text(text + "\n")
        self._command = [program, "-c", str(config)]
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends it; harmless when it has ended."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


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
