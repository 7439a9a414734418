# SPDX-License-Identifier: Apache-2.0
"""A run's result, read from the ledger alone: a resumed run tells of all its rounds."""

from collections.abc import Sequence

from fleetgrad.results import DeviceReport, Dropped, RoundReport, RunResult
from fleetgrad.store import RoundRow, RunRow, Store, UpdateRow


def summarise(store: Store, run_id: str, *, resumed: bool = False) -> RunResult:
    """What a run has come to; of an unfinished run, so far.

    Args:
        store: Where the run is.
        run_id: The run.
        resumed: To be told in the result.

    Raises:
        StoreError: When there is no such run.
    """
    run = store.ledger.run(run_id)
    rounds = [r for r in store.ledger.rounds(run_id) if r.closed]
    updates: dict[int, list[UpdateRow]] = {r.round: [] for r in rounds}
    for row in store.ledger.updates(run_id):
        updates.setdefault(row.round, []).append(row)
    traffic = store.ledger.traffic(run_id)
    training = [r for r in rounds if not r.evaluation]
    # Every round measures the version it starts from: before, after each round, after the last.
    measured = [_accuracy(run, updates[r.round]) for r in rounds]
    losses = [_eval_loss(run, updates[r.round]) for r in rounds]
    reports = tuple(
        round_report(
            run,
            row,
            updates[row.round],
            traffic.get(row.round, (0, 0)),
            accuracy=measured[index + 1] if index + 1 < len(measured) else None,
        )
        for index, row in enumerate(training)
    )
    version = next((r.version for r in reversed(rounds) if r.version is not None), run.base)
    complete = len(rounds) > len(training)
    return RunResult(
        run_id=run_id,
        fleet=run.fleet,
        rounds=reports,
        accuracy_before=measured[0] if measured else None,
        accuracy_after=measured[-1] if complete else None,
        eval_loss_before=losses[0] if losses else None,
        eval_loss_after=losses[-1] if complete else None,
        model_digest=store.ledger.version(version).digest,
        version=version,
        devices=_devices(store, run, rounds, updates),
        resumed=resumed,
    )


def round_report(
    run: RunRow,
    row: RoundRow,
    updates: Sequence[UpdateRow],
    traffic: tuple[int, int],
    *,
    accuracy: float | None = None,
) -> RoundReport:
    """One closed training round.

    Args:
        run: The run.
        row: The round.
        updates: Its accepted updates.
        traffic: Bytes up and down during it.
        accuracy: Of the version it made, if a later round has measured it.
    """
    report = row.report
    assert report is not None
    weight = sum(u.samples for u in updates)
    loss = sum(u.samples * u.train_loss for u in updates)
    return RoundReport(
        round=row.round,
        version=row.version or 0,
        selected=row.selected,
        accepted=tuple(u.device for u in updates),
        dropped=tuple(Dropped(device, reason) for device, reason in row.dropped),
        loss=loss / weight / 1024 * run.loss_unit if weight else None,
        accuracy=accuracy,
        accuracy_at_start=_accuracy(run, updates),
        eval_loss_at_start=_eval_loss(run, updates),
        bytes_up=traffic[0],
        bytes_down=traffic[1],
        seconds=row.seconds,
        clipped=max(map(report.share, range(len(report.clipped)))) if report.measured else None,
        saturated=sum(report.saturated),
    )


def _accuracy(run: RunRow, updates: Sequence[UpdateRow]) -> float | None:
    """Share of all held-out samples of these devices that were right."""
    samples = sum(u.eval_samples for u in updates)
    return sum(u.eval_correct for u in updates) / samples if samples and run.labels else None


def _eval_loss(run: RunRow, updates: Sequence[UpdateRow]) -> float | None:
    samples = sum(u.eval_samples for u in updates)
    if not samples:
        return None
    return sum(u.eval_samples * u.eval_loss for u in updates) / samples / 1024 * run.loss_unit


def _devices(
    store: Store,
    run: RunRow,
    rounds: Sequence[RoundRow],
    updates: dict[int, list[UpdateRow]],
) -> tuple[DeviceReport, ...]:
    """Before: a device's first measurement of the base version; after: of the final one."""
    first = rounds[0].round if rounds else 0
    final = rounds[-1].round if rounds and rounds[-1].evaluation else None
    by_device: dict[int, dict[int, list[UpdateRow]]] = {}
    for number, rows in updates.items():
        for row in rows:
            by_device.setdefault(row.device, {})[number] = [row]
    reports = []
    for device in store.ledger.devices(run.run_id):
        mine = by_device.get(device.device, {})
        reports.append(
            DeviceReport(
                device=device.device,
                name=device.name,
                train_samples=device.train_samples,
                eval_samples=device.eval_samples,
                accuracy_before=_accuracy(run, mine.get(first, [])),
                accuracy_after=None if final is None else _accuracy(run, mine.get(final, [])),
                rounds=sum(len(rows) for number, rows in mine.items() if number != final),
                bytes_up=device.bytes_up,
                bytes_down=device.bytes_down,
                left_out=device.left_out,
            )
        )
    return tuple(reports)
