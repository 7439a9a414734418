# SPDX-License-Identifier: Apache-2.0
"""What every fleet can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fleetgrad.device import Board, Identity
from fleetgrad.link import Link


@dataclass(frozen=True)
class Placement:
    """A device to be.

    Attributes:
        device: Its id, which the image carries too.
        name: The user whose data it holds.
        image: Its data image: private, it goes to the device's own memory and nowhere else.
    """

    device: int
    name: str
    image: bytes


@dataclass(frozen=True)
class Member:
    """A device that was there before the run, with data of its own.

    Attributes:
        device: Its id.
        name: Where it was found.
        train_samples: Samples it trains on.
        eval_samples: Samples it holds out.
        gateway: Id of the gateway that sends sums in place of its updates; None: it has none.
    """

    device: int
    name: str
    train_samples: int
    eval_samples: int
    gateway: int | None = None

    @classmethod
    def of(cls, identity: Identity, name: str, gateway: int | None = None) -> Member:
        """What a device says of itself."""
        return cls(identity.device, name, identity.train_samples, identity.eval_samples, gateway)


@dataclass(frozen=True)
class Endpoint:
    """A device that runs, as far as the fleet can tell.

    Attributes:
        device: Its id.
        link: The way to it; the fleet closes it in ``stop``.
        url: Where it is, for people.
        pid: Its process, None when it has none of its own.
        max_payload: The longest payload that the way to it takes; None: as long as any.
        boards: Where this is a gateway that sums: the devices behind it.
    """

    device: int
    link: Link
    url: str
    pid: int | None
    max_payload: int | None = None
    boards: tuple[Board, ...] = ()


@dataclass(frozen=True)
class Announcement:
    """What a fleet's devices and gateways may know of the model without being asked.

    Attributes:
        run_id: The run.
        round: The open one, which starts from this version; None when the run is over.
        version: Of the model, in the host's store.
        digest: Of the version, 32 bytes.
    """

    run_id: str
    round: int | None
    version: int
    digest: bytes


class Fleet(Protocol):
    """A source of devices."""

    kind: str

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """Starts one device for every placement.

        Args:
            placements: The devices to be.
            directory: Exists; the fleet keeps what its devices must remember there.

        Raises:
            FleetError: When a device cannot be started; those already started are stopped.
        """

    def stop(self) -> None:
        """Ends every device and link; harmless when there are none."""


@runtime_checkable
class Witness(Protocol):
    """A fleet that sees what no session does, and that the run's story should tell."""

    def remarks(self) -> list[tuple[int | None, str]]:
        """What happened since the last call: the device that it is about, if one, and words."""


@runtime_checkable
class Herald(Protocol):
    """A fleet that can be told things all at once."""

    def announce(self, announcement: Announcement) -> None:
        """Says which version is the current one; it stays said until the next one."""


@runtime_checkable
class FieldFleet(Fleet, Protocol):
    """Devices that exist whether a run does or not; only their placements' ids and names count."""

    def discover(self, wait_s: float) -> list[Member]:
        """The devices that answer, by id.

        Args:
            wait_s: How long to wait for them at most.

        Raises:
            FleetError: None answers.
        """
