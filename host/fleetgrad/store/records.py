# SPDX-License-Identifier: Apache-2.0
"""Rows of the ledger as typed values."""

from dataclasses import dataclass

from fleetgrad.federation.ranges import RangeReport


@dataclass(frozen=True)
class Version:
    """A version of the global model.

    Attributes:
        version: Its number in this store, from 1.
        digest: SHA-256, hex, over bundle and parameters.
        parent: The version it was made from, None for a factory version.
        bundle: Digest, hex, of the bundle it belongs to.
        params: Blob of its parameters.
        memory: Blob of what the strategy that made it wants back; empty: nothing.
        run_id: The run that made it, None for factory versions and rollbacks.
        round: The round that made it.
        created_by: In words: ``factory``, ``run ... round 3``, ``rollback to 2``.
        accuracy: Held-out accuracy as the devices measured it, None when nobody did.
        at: Seconds since the epoch.
    """

    version: int
    digest: str
    parent: int | None
    bundle: str
    params: str
    memory: str
    run_id: str | None
    round: int | None
    created_by: str
    accuracy: float | None
    at: float


@dataclass(frozen=True)
class RunRow:
    """A run.

    Attributes:
        run_id: Its key: head of the fingerprint and a number.
        fingerprint: SHA-256, hex, of everything that decides what the run computes.
        bundle: Digest, hex, of the bundle that the devices run.
        base: The version it starts from.
        fleet: Kind of the fleet that it last ran on.
        rounds: Training rounds in all.
        labels: Whether samples have a right answer, so that accuracy means something.
        loss_unit: What 1024 of a device's loss units are, in the units of the reports.
        state: ``open``; ``complete`` when its last round is closed; ``reported`` when its caller
            has been given the result. Only then does the same call begin another run.
        starts: How often it was started; more than once: it was interrupted.
        config: Every key, as JSON.
        at: Seconds since the epoch.
    """

    run_id: str
    fingerprint: str
    bundle: str
    base: int
    fleet: str
    rounds: int
    labels: bool
    loss_unit: float
    state: str
    starts: int
    config: str
    at: float


@dataclass(frozen=True)
class RoundRow:
    """A round; ``dropped`` holds (device, reason), ``report`` is None while it is open."""

    round: int
    evaluation: bool
    base: int
    version: int | None
    selected: tuple[int, ...]
    attempt: int
    closed: bool
    dropped: tuple[tuple[int, str], ...]
    report: RangeReport | None
    seconds: float


@dataclass(frozen=True)
class UpdateRow:
    """An accepted update without its blob; losses in 1/1024 of the device's unit."""

    round: int
    device: int
    samples: int
    eval_samples: int
    eval_correct: int
    eval_loss: int
    train_loss: int
    digest: str


@dataclass(frozen=True)
class DeviceRow:
    """A device of a run's roster, and its traffic over all rounds."""

    device: int
    name: str
    train_samples: int
    eval_samples: int
    left_out: str
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True)
class EventRow:
    """A line of a run's story.

    Attributes:
        run_id: The run it belongs to, None where it belongs to none.
        round: The round, if one.
        device: The device, if one.
        kind: One word, e.g. ``accepted``, ``duplicate``, ``stale``, ``malformed``, ``version``.
        text: What happened.
        digest: SHA-256, hex, of the update or the version that this is about, or empty.
        at: Seconds since the epoch.
        chain: SHA-256, hex, over the line before and this one; see `fleetgrad.store.chain`.
    """

    run_id: str | None
    round: int | None
    device: int | None
    kind: str
    text: str
    digest: str
    at: float
    chain: str
