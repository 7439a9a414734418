# SPDX-License-Identifier: Apache-2.0
"""Boards behind real serial ports: native nodes on pseudo terminals, which can be unplugged."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import serial
from serial import rfc2217


class SerialBoard:
    """One native node, plugged in as ``name`` in a folder that stands for /dev.

    Args:
        node: The node's executable.
        image: Its data image.
        ports: Where its port appears.
    """

    def __init__(self, node: Path, image: bytes, ports: Path, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "image").write_bytes(image)
        self._command = [node, "--image", directory / "image", "--boots", directory / "boots"]
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None
        self._name: Path | None = None
        self._master = self._slave = -1

    @property
    def port(self) -> str:
        """Its port's name now."""
        assert self._name is not None
        return str(self._name)

    def plug(self, name: str, chatter: bytes = b"") -> None:
        """Power and port; ``chatter`` is what its boot loader prints."""
        # The slave stays open: without anyone on it the board's own end would report a hang-up.
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self._name = self._ports / name
        self._name.symlink_to(os.ttyname(self._slave))
        os.write(self._master, chatter)
        self._process = subprocess.Popen(self._command, stdin=self._master, stdout=self._master)

    def unplug(self) -> None:
        """Power and port are gone; whatever was on its way is lost."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        if self._name is not None:
            self._name.unlink()
        os.close(self._master)
        os.close(self._slave)


@contextlib.contextmanager
def idle_port(ports: Path, name: str, says: bytes = b"") -> Iterator[Path]:
    """A port on which something is that never says a frame, but this again and again."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    (ports / name).symlink_to(os.ttyname(slave))
    silent = threading.Event()

    def talk() -> None:
        while not silent.wait(0.1):
            os.write(master, says)

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield ports / name
    finally:
        silent.set()
        talker.join()
        (ports / name).unlink()
        os.close(master)
        os.close(slave)


class _WithoutModemLines(serial.Serial):  # type: ignore[misc]
    """A pseudo terminal has none, and says so when it is asked."""

    cts = dsr = ri = cd = dtr = rts = break_condition = False


class Rfc2217Server:
    """A terminal server for one port, as pyserial's own example has it.

    Args:
        port: The serial port that it serves.
    """

    def __init__(self, port: str) -> None:
        self._serial = _WithoutModemLines(port, timeout=0.01)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """For pyserial's PortManager, which answers the client's negotiation."""
        self._connection.sendall(data)

    def _serve(self) -> None:
        self._listener.settimeout(10)
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(0.01)
        manager = rfc2217.PortManager(self._serial, self)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                data = self._connection.recv(1024)
                if not data:
                    break
                self._serial.write(b"".join(manager.filter(data)))
            if up := self._serial.read(1024):
                self._connection.sendall(b"".join(manager.escape(up)))
        self._connection.close()

    def close(self) -> None:
        """Ends the service."""
        self._stopping.set()
        self._thread.join()
        self._listener.close()
        self._serial.close()
