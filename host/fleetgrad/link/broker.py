# SPDX-License-Identifier: Apache-2.0
"""Mosquitto as a process of this one, on a free loopback port: for benches and tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from fleetgrad.errors import ToolError

_PATIENCE_S = 20.0


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker, which can be killed and started again.

    Args:
        directory: For its files.
        lines: More of its configuration.

    Raises:
        ToolError: There is no Mosquitto, or it does not start.
    """

    def __init__(self, directory: Path, *lines: str) -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise ToolError("there is no mosquitto", hint="apt install mosquitto")
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
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace").splitlines()[-3:]
                self.stop()
                raise ToolError("mosquitto does not start", where="; ".join(said))
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends it; harmless when it has ended."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None
