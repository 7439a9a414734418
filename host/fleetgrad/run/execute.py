# SPDX-License-Identifier: Apache-2.0
"""The one call that does a whole run."""

import secrets
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fleetgrad.config import Config
from fleetgrad.device import DeviceSession, Expected, GatewaySession, Patience
from fleetgrad.errors import FleetError, LinkError
from fleetgrad.federation.partial import Fold
from fleetgrad.federation.state import Stage
from fleetgrad.fleet import Announcement, Endpoint, FieldFleet, Fleet, Herald, Witness
from fleetgrad.results import Observer, RunResult, RunStarted, SilentObserver
from fleetgrad.run.cohort import resume
from fleetgrad.run.conductor import Conductor, Station
from fleetgrad.run.prepare import Inputs, enter, gather, meet, refuse_sums, restore
from fleetgrad.run.recorder import Recorder
from fleetgrad.run.summary import summarise
from fleetgrad.store import RunRow, Store, layout_of
from fleetgrad.toolchain.fold import find_fold
from fleetgrad.wire.messages import PAYLOAD_MAX

# Of a round's time: so long may a gateway wait for its boards, and then its sum has to come here.
_GATEWAY_SHARE = 0.75


def _open_store(directory: Path) -> Store:
    return Store(directory, writing=True)


def _session_id() -> int:
    return secrets.randbits(32) or 1


@dataclass(frozen=True)
class Services:
    """What a run takes from the world; tests put in their own.

    Attributes:
        clock: Seconds, only ever forward.
        wall: Seconds since the epoch, for the ledger.
        session_id: A new session id, 1 .. 2^32-1. It decides nothing but which frames are ours.
        open_store: Opens a run directory for writing.
        patience: How long to wait for a device.
        selector: Waits for links.
        fold: Adds updates; is given who is told when that is slow.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    session_id: Callable[[], int] = _session_id
    open_store: Callable[[Path], Store] = _open_store
    patience: Patience = field(default_factory=Patience)
    selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector
    fold: Callable[[Callable[[str], None]], Fold] = find_fold


def execute(
    config: Config,
    bundle_dir: Path,
    fleet: Fleet,
    observer: Observer | None = None,
    services: Services | None = None,
    *,
    deliver: Callable[[RunResult], None] | None = None,
) -> RunResult:
    """Runs federated rounds over a fleet, or goes on with a run that was interrupted.

    The same config, bundle and data give the same model digest, on every kind of fleet, however
    often the run was interrupted. Where a run with these inputs has been given back already,
    another one begins.

    Args:
        config: What to do.
        bundle_dir: What code generation made; the fleet's firmware must be built from it.
        fleet: Not started yet; it is stopped when this returns or raises.
        observer: Is told of progress.
        services: Clocks and storage.
        deliver: Takes the result to whoever asked for it, before the ledger calls the run reported:
            killed in between, the same call delivers the same run again instead of beginning
            another one.

    Returns:
        The finished run.

    Raises:
        FleetgradError: Exit code 2 when the inputs do not fit together (nothing was changed), 1
            when the work failed; what was committed stays, and the same call resumes.
    """
    observer = observer or SilentObserver()
    services = services or Services()
    inputs = gather(config, bundle_dir, field=isinstance(fleet, FieldFleet))
    with services.open_store(config.run.dir) as store, ExitStack() as stack:
        stack.callback(fleet.stop)
        if isinstance(fleet, FieldFleet):
            with _told(store, services):
                inputs = meet(inputs, store, fleet)
        entry = enter(store, inputs, fleet.kind, services.wall())
        run = entry.run
        state = restore(store, inputs, run)
        observer.run_started(
            RunStarted(
                run_id=run.run_id,
                fleet=fleet.kind,
                devices=len(inputs.plan.roster),
                rounds=inputs.plan.rounds,
                first_round=state.next_round,
                resumed=entry.resumed,
            )
        )
        for warning in entry.warnings:
            observer.notice(warning)
        for member in inputs.members:
            if not member.train_samples:
                observer.notice(
                    f"device {member.device} ({member.name}) is left out: it has no samples"
                )
        if state.stage is not Stage.FINISHED:
            recorder = Recorder(store, run, services.wall)
            aggregator = resume(store, run, state, services.fold(observer.notice))
            with _told(store, services, run.run_id):
                stations = _start(fleet, inputs, run, config.run.dir, services)
            conductor = Conductor(
                state,
                stations,
                recorder,
                aggregator,
                observer,
                remarks=fleet.remarks if isinstance(fleet, Witness) else list,
                announce=_announcer(fleet, run.run_id),
                clock=services.clock,
                selector=services.selector(),
            )
            conductor.conduct()
            fleet.stop()
        result = summarise(store, run.run_id, resumed=entry.resumed)
        if deliver is not None:
            deliver(result)
        with store.ledger.write(services.wall()) as transaction:
            transaction.set_state(run.run_id, "reported")
        return result


@contextmanager
def _told(store: Store, services: Services, run_id: str | None = None) -> Iterator[None]:
    """A fleet that cannot be had is part of the story too, a run's or the store's."""
    try:
        yield
    except (FleetError, LinkError) as error:
        where = f" ({error.where})" if error.where else ""
        with store.ledger.write(services.wall()) as transaction:
            transaction.note("failed", f"{error.what}{where}", run_id=run_id)
        raise


def _announcer(fleet: Fleet, run_id: str) -> Callable[[int | None, int, bytes], None]:
    """Tells the fleet of the current version, where it can be told."""

    def announce(number: int | None, version: int, digest: bytes) -> None:
        if isinstance(fleet, Herald):
            fleet.announce(Announcement(run_id, number, version, digest))

    return announce


def _start(
    fleet: Fleet, inputs: Inputs, run: RunRow, run_dir: Path, services: Services
) -> list[Station]:
    directory = run_dir / "devices"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FleetError(
            f"cannot make the devices' folder: {error.strerror}", where=str(directory)
        ) from error
    endpoints = fleet.start(inputs.placements(run.starts), directory)
    return [_station(endpoint, inputs, services) for endpoint in endpoints]


def _station(endpoint: Endpoint, inputs: Inputs, services: Services) -> Station:
    shape = layout_of(inputs.bundle).shape
    expected = Expected(endpoint.device, inputs.bundle.digest[:8], shape)
    session = DeviceSession(
        expected,
        services.session_id(),
        services.clock(),
        services.patience,
        endpoint.max_payload or PAYLOAD_MAX,
    )
    if not endpoint.boards:
        return Station(endpoint, session)
    refuse_sums(inputs.strategy, endpoint.device)
    wait_s = _GATEWAY_SHARE * inputs.config.rounds.timeout_s
    numbers = getattr(inputs.strategy, "numbers", 1)
    boards = endpoint.boards
    return Station(
        endpoint, GatewaySession(session, expected, boards, numbers=numbers, wait_s=wait_s)
    )
