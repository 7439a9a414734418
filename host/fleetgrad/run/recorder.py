# SPDX-License-Identifier: Apache-2.0
"""Writes the engine's decisions into the ledger: all of one moment in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from fleetgrad.federation.actions import (
    Action,
    Bar,
    CloseRound,
    Finish,
    LedgerAction,
    Note,
    OpenRound,
    Record,
    RecordSum,
    Widen,
)
from fleetgrad.federation.facts import Facts
from fleetgrad.results import RoundReport
from fleetgrad.run.summary import round_report
from fleetgrad.store import RunRow, Store, Transaction, UpdateRow

Traffic: TypeAlias = Callable[[], Mapping[int, tuple[int, int]]]


class Recorder:
    """One run's pen.

    Args:
        store: Open for writing.
        run: The run.
        wall: Seconds since the epoch.
    """

    def __init__(self, store: Store, run: RunRow, wall: Callable[[], float]) -> None:
        self._store = store
        self._run = run
        self._wall = wall
        made = [r.version for r in store.ledger.rounds(run.run_id) if r.version is not None]
        self._version = made[-1] if made else run.base

    @property
    def version(self) -> int:
        """The newest version that is committed."""
        return self._version

    def commit(self, actions: Sequence[Action], seconds: float, traffic: Traffic) -> None:
        """Makes everything in ``actions`` that concerns the ledger durable, or nothing.

        Args:
            actions: In order; those that do not concern the ledger are passed over.
            seconds: How long the round that closes was open.
            traffic: Gives bytes up and down by device during it.

        Raises:
            StoreError: When the ledger cannot be written; no receipt may be sent then.
        """
        wanted = [action for action in actions if isinstance(action, LedgerAction)]
        if not wanted:
            return
        version = self._version
        with self._store.ledger.write(self._wall()) as transaction:
            for action in wanted:
                version = self._write(transaction, action, version, seconds, traffic)
        self._version = version

    def report(self, number: int) -> RoundReport:
        """A training round that is closed."""
        ledger, run_id = self._store.ledger, self._run.run_id
        row = next(r for r in ledger.rounds(run_id) if r.round == number)
        traffic = ledger.traffic(run_id).get(number, (0, 0))
        updates = ledger.updates(run_id, number)
        return round_report(self._run, row, updates, traffic)

    def _write(
        self,
        transaction: Transaction,
        action: LedgerAction,
        version: int,
        seconds: float,
        traffic: Traffic,
    ) -> int:
        """Writes one action; returns the newest version after it."""
        run_id = self._run.run_id
        match action:
            case OpenRound():
                transaction.open_round(
                    run_id,
                    action.round,
                    evaluation=action.evaluation_only,
                    base=version,
                    selected=action.selected,
                    attempt=action.attempt,
                )
            case Record():
                blob = action.update.blob
                digest = sha256(blob).hexdigest()
                row = _row(action.round, action.device, action.facts, digest)
                transaction.add_update(run_id, row, blob)
            case RecordSum():
                self._write_sum(transaction, action)
            case CloseRound():
                return self._close(transaction, action, version, seconds, traffic)
            case Widen():
                return transaction.add_version(
                    action.model.digest.hex(),
                    parent=version,
                    bundle=self._run.bundle,
                    params=self._store.keep_model(action.model),
                    created_by=f"run {run_id} before round 1: larger ranges",
                    run_id=run_id,
                )
            case Note():
                transaction.note(
                    action.kind,
                    action.text,
                    run_id=run_id,
                    number=action.round,
                    device=action.device,
                    digest=action.digest,
                )
            case Bar():
                transaction.bar_device(run_id, action.device, action.reason)
            case Finish():
                transaction.set_state(run_id, "complete")
                transaction.note("finished", f"run {run_id} is complete", run_id=run_id)
        return version

    def _write_sum(self, transaction: Transaction, action: RecordSum) -> None:
        run_id, found, number = self._run.run_id, action.found, action.round
        gateway = f"{action.gateway:016x}"
        made = transaction.add_sum(run_id, number, gateway, found.digest, found.blob)
        for entry in found.entries:
            facts = action.members.get(entry.device)
            if facts is not None:
                row = _row(number, entry.device, facts, entry.digest.hex())
                transaction.add_update(run_id, row, None, made)

    def _close(
        self,
        transaction: Transaction,
        action: CloseRound,
        version: int,
        seconds: float,
        traffic: Traffic,
    ) -> int:
        run_id = self._run.run_id
        made: int | None = None
        if action.model is not None:
            made = transaction.add_version(
                action.model.digest.hex(),
                parent=version,
                bundle=self._run.bundle,
                params=self._store.keep_model(action.model),
                memory=self._store.keep_memory(action.memory),
                created_by=f"run {run_id} round {action.round}",
                run_id=run_id,
                number=action.round,
            )
        transaction.close_round(
            run_id,
            action.round,
            version=made,
            dropped=[(d.device, d.reason) for d in action.dropped],
            report=action.report,
            seconds=seconds,
            traffic=traffic(),
        )
        return made if made is not None else version


def _row(number: int, device: int, facts: Facts, digest: str) -> UpdateRow:
    return UpdateRow(
        round=number,
        device=device,
        samples=facts.samples,
        eval_samples=facts.eval_samples,
        eval_correct=facts.eval_correct,
        eval_loss=facts.eval_loss,
        train_loss=facts.train_loss,
        digest=digest,
    )
