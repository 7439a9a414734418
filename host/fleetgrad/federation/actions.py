# SPDX-License-Identifier: Apache-2.0
"""What the round engine wants done; what concerns the ledger is committed before the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fleetgrad.device import SumBlob, Update
from fleetgrad.errors import FleetgradError
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.ranges import RangeReport
from fleetgrad.results import Dropped
from fleetgrad.wire.messages import RoundOpen, Verdict


@dataclass(frozen=True)
class OpenRound:
    """Ledger: a round begins, or begins anew with its attempt counted up."""

    round: int
    evaluation_only: bool
    selected: tuple[int, ...]
    attempt: int


@dataclass(frozen=True)
class Record:
    """Ledger: an update counts from now on."""

    round: int
    device: int
    update: Update
    facts: Facts


@dataclass(frozen=True)
class RecordSum:
    """Ledger: all updates in a gateway's sum count from now on.

    Attributes:
        round: Its number.
        gateway: Who made it.
        members: What is known of the updates in it, by device.
        found: The gateway's answer.
        part: The partial sum in it.
    """

    round: int
    gateway: int
    members: Mapping[int, Facts]
    found: SumBlob
    part: PartialSum


@dataclass(frozen=True)
class Aggregate:
    """To whoever folds updates: a round has all that it waits for; `Aggregated` is the answer."""

    round: int
    model: GlobalModel


@dataclass(frozen=True)
class Aggregated:
    """An event: what the strategy made of the updates of a round.

    Attributes:
        round: Its number.
        model: The next version, before any range of it grows.
        memory: What the strategy wants back in the next round.
    """

    round: int
    model: GlobalModel
    memory: bytes = b""


@dataclass(frozen=True)
class CloseRound:
    """Ledger: a round ends; a training round makes a version.

    Attributes:
        round: Its number.
        model: The new version, None after an evaluation.
        accepted: What is known of the updates that count, by device id.
        report: What they say of limits.
        dropped: Devices asked that did not contribute.
        memory: What the strategy wants back in the next round.
    """

    round: int
    model: GlobalModel | None
    accepted: Mapping[int, Facts]
    report: RangeReport
    dropped: tuple[Dropped, ...]
    memory: bytes = b""


@dataclass(frozen=True)
class Widen:
    """Ledger: a version with larger activation scales, before the first round."""

    model: GlobalModel


@dataclass(frozen=True)
class Note:
    """Ledger: something that a reader of the run's story should know.

    Attributes:
        kind: One word: ``reboot``, ``refused``, ``lost``, ``dropped``, ``repeated``, ...; where it
            is the decision on an update: ``duplicate``, ``stale`` or ``malformed``.
        text: What happened; of a device, without naming it.
        device: The device concerned, if one.
        round: The round concerned, if one.
        digest: SHA-256, hex, of the update that was decided on, or empty.
    """

    kind: str
    text: str
    device: int | None = None
    round: int | None = None
    digest: str = ""

    def __str__(self) -> str:
        """The text, with the device that it is about."""
        return self.text if self.device is None else f"device {self.device}: {self.text}"


@dataclass(frozen=True)
class Bar:
    """Ledger: a device takes no part in the run, as long as it is what it is."""

    device: int
    reason: str


@dataclass(frozen=True)
class Finish:
    """Ledger: the run is complete."""


@dataclass(frozen=True)
class Fail:
    """The run cannot go on now; it stays open in the ledger and can be resumed."""

    error: FleetgradError


@dataclass(frozen=True)
class Assign:
    """To a device: the terms of a round and the parameters."""

    device: int
    terms: RoundOpen
    vector: bytes


@dataclass(frozen=True)
class SendReceipt:
    """To a device, or a gateway that sums: what became of its update."""

    device: int
    round: int
    verdict: Verdict


@dataclass(frozen=True)
class Dismiss:
    """To a device: the round closed without it."""

    device: int
    round: int


LedgerAction: TypeAlias = OpenRound | Record | RecordSum | CloseRound | Widen | Note | Bar | Finish
DeviceAction: TypeAlias = Assign | SendReceipt | Dismiss
Action: TypeAlias = LedgerAction | DeviceAction | Aggregate | Fail
