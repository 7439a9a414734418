# SPDX-License-Identifier: Apache-2.0
"""Ports that pyserial opens: `/dev/ttyACM0`, `COM5`, `socket://host:port`, `rfc2217://host:port`."""

from __future__ import annotations

import errno
import glob
from typing import Protocol

import serial
from serial.tools import list_ports

from fleetgrad.errors import LinkClosed, LinkError

# A port that takes no bytes for so long has a host side that stalls; what it did not take is lost,
# as on any line, and is sent again.
_STALL_S = 0.5

# So long every read takes, unless very much has come; changing a port's timeout between reads would
# configure the whole port anew each time.
_LISTEN_S = 0.004

_PATTERN = frozenset("*?[")
_PIECE = 4096


class Port(Protocol):
    """The part of a pyserial port that is used."""

    def read(self, size: int = 1, /) -> bytes:
        """Up to ``size`` bytes, as many as come within the port's timeout."""

    def write(self, data: bytes, /) -> int | None:
        """Hands bytes over."""

    def close(self) -> None:
        """Ends the use of the port."""


class SerialPort:
    """An open port.

    Args:
        url: Anything pyserial opens.
        baud: Bits per second; ports that are no wires ignore it.

    Raises:
        LinkError: It cannot be opened: it is not there, someone else has it, or it may not be used.
    """

    def __init__(self, url: str, baud: int) -> None:
        self.url = url
        try:
            # A terminal server's client takes no timeout for writing: TCP has one of its own.
            stall = {} if url.startswith("rfc2217://") else {"write_timeout": _STALL_S}
            self._port: Port = serial.serial_for_url(
                url, baudrate=baud, timeout=_LISTEN_S, exclusive=True, **stall
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise _refused(error, url) from error

    def read(self) -> bytes:
        """Bytes that come within some milliseconds.

        Raises:
            LinkClosed: The port is gone.
        """
        try:
            return self._port.read(_PIECE)
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: pyserial's answer to a port that another thread has closed
            raise LinkClosed(f"the port is gone: {error}", where=self.url) from error

    def write(self, data: bytes) -> bool:
        """Sends bytes; False when the port stalls, and some of them are lost.

        Raises:
            LinkClosed: The port is gone.
        """
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            return False
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkClosed(f"the port is gone: {error}", where=self.url) from error
        return True

    def close(self) -> None:
        """Ends the use of the port; harmless when it has ended."""
        self._port.close()


def matching(patterns: tuple[str, ...]) -> list[str]:
    """The ports that patterns name now.

    Args:
        patterns: URLs and device names, which are taken as they are, and wildcards such as
            ``/dev/ttyACM*``, which name those that are plugged in. None at all: every USB port.
    """
    if not patterns:
        return sorted(port.device for port in list_ports.comports() if port.vid is not None)
    found: dict[str, None] = {}
    for pattern in patterns:
        wild = "://" not in pattern and _PATTERN & set(pattern)
        found.update(dict.fromkeys(sorted(glob.glob(pattern)) if wild else [pattern]))  # noqa: PTH207
    return list(found)


def _refused(error: Exception, url: str) -> LinkError:
    code = getattr(error, "errno", None)
    if isinstance(error, ValueError):
        return LinkError(
            f"no port: {error}", where=url, expected="/dev/ttyACM0, COM5, socket://HOST:PORT, ..."
        )
    if code == errno.ENOENT:
        return LinkError("there is no such port", where=url, hint="fleetgrad devices")
    if code in (errno.EACCES, errno.EPERM):
        return LinkError(
            "the port may not be used by this user",
            where=url,
            hint="sudo usermod -aG dialout $USER, then log in again",
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return LinkError(
            "the port is busy", where=url, hint="end the other program that has it open"
        )
    if code == errno.ECONNREFUSED or "Connection refused" in str(error):
        return LinkError("nobody listens there", where=url, hint="check the address")
    return LinkError(f"the port cannot be opened: {error}", where=url)
