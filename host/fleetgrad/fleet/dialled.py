# SPDX-License-Identifier: Apache-2.0
"""Fleets of processes that dial in over TCP: one listener for each, so that none is mistaken."""

import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetgrad.errors import FleetError
from fleetgrad.fleet.base import Endpoint, Placement
from fleetgrad.fleet.descriptors import allow_links
from fleetgrad.fleet.processes import Processes, log_tail
from fleetgrad.link import Listener, SocketLink

_DIAL_IN_S = 30.0


@dataclass(frozen=True)
class Site:
    """Where one device keeps its things.

    Attributes:
        device: Its id.
        image: Its data image, as a file.
        directory: Its own folder, kept from one start to the next.
        address: HOST:PORT that it must dial.
    """

    device: int
    image: Path
    directory: Path
    address: str


class DialledFleet:
    """Processes, one for every device.

    Args:
        command: Makes the command line of one device.
    """

    def __init__(self, command: Callable[[Site], Sequence[str | Path]]) -> None:
        self._command = command
        self._processes = Processes()
        self._links: list[SocketLink] = []

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`."""
        allow_links(len(placements))
        listeners: dict[int, Listener] = {}
        try:
            started = {}
            for placement in placements:
                listener = listeners[placement.device] = Listener()
                site = _prepare(placement, directory, listener.address)
                log = site.directory / "log"
                process = self._processes.start(self._command(site), log)
                started[placement.device] = (process, log)
            endpoints = []
            deadline = time.monotonic() + _DIAL_IN_S
            for device, listener in listeners.items():
                process, log = started[device]
                link = _await(listener, deadline, process)
                if link is None:
                    code = process.poll()
                    how = "did not dial in" if code is None else f"ended with exit code {code}"
                    raise FleetError(
                        f"device {device} {how}",
                        where=log_tail(log) or str(log),
                        hint=f"its output is in {log}",
                    )
                self._links.append(link)
                url = f"tcp://{listener.address}"
                endpoints.append(Endpoint(device, link, url, process.pid))
        except BaseException:
            self.stop()
            raise
        finally:
            for listener in listeners.values():
                listener.close()
        return endpoints

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`."""
        for link in self._links:
            link.close()
        self._links.clear()
        self._processes.stop()


def _prepare(placement: Placement, directory: Path, address: str) -> Site:
    own = directory / f"device-{placement.device}"
    try:
        own.mkdir(parents=True, exist_ok=True)
        image = own / "image.bin"
        image.write_bytes(placement.image)
    except OSError as error:
        raise FleetError(
            f"cannot write the data image of device {placement.device}: {error.strerror}",
            where=str(own),
        ) from error
    return Site(placement.device, image, own, address)


def _await(
    listener: Listener, deadline: float, process: subprocess.Popen[bytes]
) -> SocketLink | None:
    """The link that dials in; None when the process ends or the time does."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            selector.select(min(left, 0.2))
            link = listener.accept()
            if link is not None:
                return link
            if process.poll() is not None:
                return None
    return None
