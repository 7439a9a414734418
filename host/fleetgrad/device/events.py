# SPDX-License-Identifier: Apache-2.0
"""What a session reports of its device."""

from dataclasses import dataclass
from typing import TypeAlias

from fleetgrad.device.sums import SumBlob
from fleetgrad.device.update import Update


@dataclass(frozen=True, slots=True)
class Joined:
    """HELLO passed every check: the device takes rounds.

    Attributes:
        device: Device id.
        train_samples: Training samples it holds.
        eval_samples: Held-out samples it holds.
        holds_round: The round whose update it still keeps, 0 for none.
        boots: Its boot counter.
        holds_version: Tag of the version that this update starts from.
    """

    device: int
    train_samples: int
    eval_samples: int
    holds_round: int
    boots: int
    holds_version: int = 0


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The device started again; the session goes on and its round is sent anew."""

    device: int
    boots: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The device can never take part in this run, whatever it sends from now on.

    Attributes:
        device: The device that was expected at this end.
        code: One word: ``version``, ``schema``, ``model``, ``identity``, ``problem``.
        reason: A sentence for the user.
    """

    device: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unable:
    """The device refused the work of one round."""

    device: int
    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole update, checked: CRC, round, version, ranges."""

    device: int
    round: int
    update: Update


@dataclass(frozen=True, slots=True)
class Summed:
    """A whole sum from a gateway, checked as far as a line can spoil it.

    Attributes:
        device: Id of the gateway.
        round: The round it was sent in.
        boards: Those that the gateway was asked to ask.
        found: The sum.
    """

    device: int
    round: int
    boards: tuple[int, ...]
    found: SumBlob


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A whole update that fails a check; it must not count.

    Attributes:
        device: Whose it is.
        round: The round it was sent in.
        reason: What is wrong with it, in words.
        blob: The bytes as they came.
    """

    device: int
    round: int
    reason: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer for too long; the device may come back, and then joins again."""

    device: int
    reason: str


@dataclass(frozen=True, slots=True)
class Printed:
    """Bytes on the line that were no frame, e.g. a boot log; as text, for the curious."""

    device: int
    text: str


DeviceEvent: TypeAlias = (
    Joined | Rebooted | Refused | Unable | Arrived | Summed | Spoiled | Lost | Printed
)
