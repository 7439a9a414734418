# SPDX-License-Identifier: Apache-2.0
"""What a run gives back, and how it tells of its progress. Plain data, no behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class DeviceReport:
    """One device over a whole run.

    Attributes:
        device: Device id.
        name: The user whose data the device holds, as the data set calls it.
        train_samples: Training samples on the device.
        eval_samples: Held-out samples on the device.
        accuracy_before: Share of the held-out samples right with the version the run started from,
            None when unknown (no held-out samples, no labels, or the device never answered).
        accuracy_after: The same with the version the run ended with.
        rounds: Training rounds whose update of this device was accepted.
        bytes_up: Bytes received from the device in all, framing included.
        bytes_down: Bytes sent to the device in all, framing included.
        left_out: Why the device takes no part, empty when it does.
    """

    device: int
    name: str
    train_samples: int
    eval_samples: int
    accuracy_before: float | None
    accuracy_after: float | None
    rounds: int
    bytes_up: int
    bytes_down: int
    left_out: str = ""


@dataclass(frozen=True)
class Dropped:
    """A device that was selected for a round and did not contribute to it."""

    device: int
    reason: str


@dataclass(frozen=True)
class RoundReport:
    """One closed round.

    Attributes:
        round: Counted from 1; the closing evaluation-only round is not reported as one.
        version: Number, in the store, of the version that this round made.
        selected: Devices asked.
        accepted: Devices whose update counted.
        dropped: Devices asked that did not contribute, with reasons.
        loss: Mean training loss over the devices, weighted by samples: nats for cross-entropy,
            squared output units for squared error; None when nothing was trained.
        accuracy: Share of held-out samples, over all devices that evaluated it, that the version
            made by this round gets right. It is measured by the following round, hence None until
            that closed, and None without labels.
        accuracy_at_start: The same of the version that this round started from.
        eval_loss_at_start: Mean held-out loss of that version, in the units of ``loss``.
        bytes_up: Bytes from devices to host during this round, framing included.
        bytes_down: Bytes from host to devices.
        seconds: Wall-clock time.
        clipped: Of the range that cuts off most, the share of outputs that it cut off while the
            devices trained; None where that is not measured.
        saturated: Parameters that came to their limits, over all devices.
    """

    round: int
    version: int
    selected: tuple[int, ...]
    accepted: tuple[int, ...]
    dropped: tuple[Dropped, ...]
    loss: float | None
    accuracy: float | None
    accuracy_at_start: float | None
    eval_loss_at_start: float | None
    bytes_up: int
    bytes_down: int
    seconds: float
    clipped: float | None = None
    saturated: int = 0

    def to_json(self) -> dict[str, Any]:
        """The keys that users may rely on."""
        return {
            "round": self.round,
            "selected": list(self.selected),
            "accepted": list(self.accepted),
            "dropped": [{"device": d.device, "reason": d.reason} for d in self.dropped],
            "loss": self.loss,
            "accuracy": self.accuracy,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "seconds": round(self.seconds, 3),
            "clipped": self.clipped,
            "saturated": self.saturated,
        }


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_id: Key of the run in the ledger.
        fleet: Kind of fleet: ``qemu``, ``native``, ``virtual``.
        rounds: Training rounds in order.
        accuracy_before: Pooled held-out accuracy of the version the run started from; None without
            labels.
        accuracy_after: The same of the final version.
        eval_loss_before: Mean held-out loss before, in the units of ``RoundReport.loss``.
        eval_loss_after: The same after.
        model_digest: SHA-256, hex, that identifies the final version: bundle and parameters.
        version: Number of the final version in the store.
        devices: Every device of the roster, those left out included.
        resumed: The run continued one that was interrupted.
    """

    run_id: str
    fleet: str
    rounds: tuple[RoundReport, ...]
    accuracy_before: float | None
    accuracy_after: float | None
    eval_loss_before: float | None
    eval_loss_after: float | None
    model_digest: str
    version: int
    devices: tuple[DeviceReport, ...]
    resumed: bool

    def to_json(self) -> dict[str, Any]:
        """The keys that users may rely on."""
        return {
            "run_id": self.run_id,
            "rounds": [r.to_json() for r in self.rounds],
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
            "model_digest": self.model_digest,
            "fleet": self.fleet,
        }


@dataclass(frozen=True)
class RunStarted:
    """What is known when the fleet is about to be started."""

    run_id: str
    fleet: str
    devices: int
    rounds: int
    first_round: int  # greater than 1 when resuming
    resumed: bool


class Observer(Protocol):
    """Told of a run's progress, in order, from the thread that called ``execute``.

    Implementations must return quickly and must not raise.
    """

    def run_started(self, started: RunStarted) -> None:
        """The ledger knows the run; the fleet starts next."""

    def device_ready(self, device: int, ready: int, total: int) -> None:
        """A device said HELLO and passed every check."""

    def round_opened(self, number: int, selected: Sequence[int], evaluation_only: bool) -> None:
        """A round begins; for the closing evaluation ``evaluation_only`` is true."""

    def update_accepted(self, number: int, device: int) -> None:
        """An update is in the ledger."""

    def round_closed(self, report: RoundReport) -> None:
        """A training round made a version; ``report.accuracy`` is still None."""

    def notice(self, text: str) -> None:
        """Something a user should know and that stops nothing, e.g. a device that rebooted."""


class SilentObserver:
    """An observer that ignores everything."""

    def run_started(self, started: RunStarted) -> None:
        """Ignored."""

    def device_ready(self, device: int, ready: int, total: int) -> None:
        """Ignored."""

    def round_opened(self, number: int, selected: Sequence[int], evaluation_only: bool) -> None:
        """Ignored."""

    def update_accepted(self, number: int, device: int) -> None:
        """Ignored."""

    def round_closed(self, report: RoundReport) -> None:
        """Ignored."""

    def notice(self, text: str) -> None:
        """Ignored."""
