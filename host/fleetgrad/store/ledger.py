# SPDX-License-Identifier: Apache-2.0
"""The ledger: one SQLite file, one writer, every commit durable before anyone hears of it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleetgrad.errors import StoreError
from fleetgrad.federation.ranges import RangeReport
from fleetgrad.store.records import DeviceRow, EventRow, RoundRow, RunRow, UpdateRow, Version
from fleetgrad.store.schema import LEDGER_ERRORS, connect, ledger_error
from fleetgrad.store.transaction import Transaction

# A version is measured by the rounds that start from it; without labels nothing is ever right.
_VERSIONS = """
SELECT v.version, v.digest, v.parent, v.bundle, v.params, v.memory, v.run_id, v.round, v.created_by,
    (SELECT SUM(u.eval_correct) * 1.0 / NULLIF(SUM(u.eval_samples), 0)
     FROM rounds r JOIN runs ON runs.run_id = r.run_id AND runs.labels
     JOIN updates u ON u.run_id = r.run_id AND u.round = r.round
     WHERE r.base = v.version AND r.closed AND r.run_id =
        (SELECT run_id FROM rounds WHERE base = v.version AND closed ORDER BY rowid DESC LIMIT 1)),
    v.at
FROM versions v
"""


class Ledger:
    """Reads and writes the ledger.

    Args:
        path: The SQLite file; a writer makes it when it does not exist.
        writing: Whether anything will be written.

    Raises:
        StoreError: When the file cannot be used.
    """

    def __init__(self, path: Path, *, writing: bool = True) -> None:
        self._path = path
        self._db = connect(path, writing=writing)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextmanager
    def write(self, now: float) -> Iterator[Transaction]:
        """A transaction: durable when the block ends, undone when it raises.

        Args:
            now: Seconds since the epoch, for the rows' ``at``.

        Raises:
            StorageFullError: When there is no space; nothing of the transaction stays.
            StoreError: When the ledger cannot be written otherwise.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._db, now)
                self._commit()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise ledger_error(error, self._path) from error

    def _commit(self) -> None:
        """The moment at which everything becomes durable; tests stop the process around it."""
        self._db.execute("COMMIT")

    def runs(self) -> list[RunRow]:
        """All runs, oldest first."""
        return [_run(row) for row in self._rows("SELECT * FROM runs ORDER BY rowid")]

    def run(self, run_id: str) -> RunRow:
        """One run.

        Raises:
            StoreError: When there is none with this id.
        """
        found = self._rows("SELECT * FROM runs WHERE run_id = ?", run_id)
        if not found:
            known = ", ".join(run.run_id for run in self.runs()[-8:]) or "none yet"
            raise StoreError(f"no run {run_id}", where=str(self._path), expected=known)
        return _run(found[0])

    def versions(self) -> list[Version]:
        """All versions, oldest first, with the accuracy that devices measured."""
        return [Version(*row) for row in self._rows(f"{_VERSIONS} ORDER BY v.version")]

    def version(self, number: int) -> Version:
        """One version.

        Raises:
            StoreError: When there is none with this number.
        """
        found = self._rows(f"{_VERSIONS} WHERE v.version = ?", number)
        if not found:
            count = self._rows("SELECT COUNT(*) FROM versions")[0][0]
            raise StoreError(
                f"no version {number}",
                where=str(self._path),
                expected=f"1 to {count}" if count else "a store with versions",
                hint="fleetgrad models list",
            )
        return Version(*found[0])

    def bundle(self, digest: str) -> tuple[str, str, str]:
        """Blobs of a bundle's manifest, initial parameters and model."""
        row = self._rows("SELECT manifest, params, model FROM bundles WHERE digest = ?", digest)[0]
        return row[0], row[1], row[2]

    def rounds(self, run_id: str) -> list[RoundRow]:
        """A run's rounds in order, the open one included."""
        rows = self._rows(
            "SELECT round, evaluation, base, version, selected, attempt, closed, dropped, report,"
            " seconds FROM rounds WHERE run_id = ? ORDER BY round",
            run_id,
        )
        try:
            return [_round(row) for row in rows]
        except (ValueError, TypeError, KeyError) as error:
            raise ledger_error(ValueError(str(error)), self._path) from error

    def updates(self, run_id: str, number: int | None = None) -> list[UpdateRow]:
        """Accepted updates of a run, or of one of its rounds, by round and device."""
        where = "run_id = ?" + ("" if number is None else " AND round = ?")
        rows = self._rows(
            "SELECT round, device, samples, eval_samples, eval_correct, eval_loss, train_loss,"
            f" digest FROM updates WHERE {where} ORDER BY round, device",
            run_id,
            *(() if number is None else (number,)),
        )
        return [UpdateRow(*row) for row in rows]

    def blobs(self, run_id: str, number: int) -> Iterator[tuple[int, bytes]]:
        """Device and update of a round's accepted updates, by device; one in memory at a time.

        Those that a gateway has summed are not among them: see `sums`.
        """
        query = (
            "SELECT device, blob FROM updates WHERE run_id = ? AND round = ? AND sum IS NULL"
            " ORDER BY device"
        )
        yield from self._stream(query, run_id, number)

    def sums(self, run_id: str, number: int) -> Iterator[tuple[str, bytes]]:
        """Gateway and bytes of a round's sums; one in memory at a time."""
        query = "SELECT gateway, blob FROM sums WHERE run_id = ? AND round = ? ORDER BY sum"
        yield from self._stream(query, run_id, number)

    def slices(self, run_id: str, number: int, start: int, stop: int) -> Iterator[bytes]:
        """Bytes ``start`` to ``stop`` of every accepted update of a round, by device."""
        query = (
            "SELECT rowid FROM updates WHERE run_id = ? AND round = ? AND sum IS NULL"
            " ORDER BY device"
        )
        for (row,) in self._rows(query, run_id, number):
            try:
                with self._db.blobopen("updates", "blob", row, readonly=True) as blob:
                    blob.seek(start)
                    piece = blob.read(stop - start)
            except sqlite3.Error as error:
                raise ledger_error(error, self._path) from error
            yield piece

    def devices(self, run_id: str) -> list[DeviceRow]:
        """A run's roster with each device's traffic."""
        rows = self._rows(
            "SELECT d.device, d.name, d.train_samples, d.eval_samples, d.left_out,"
            " COALESCE(SUM(t.bytes_up), 0), COALESCE(SUM(t.bytes_down), 0)"
            " FROM devices d LEFT JOIN traffic t ON t.run_id = d.run_id AND t.device = d.device"
            " WHERE d.run_id = ? GROUP BY d.device ORDER BY d.device",
            run_id,
        )
        return [DeviceRow(*row) for row in rows]

    def traffic(self, run_id: str) -> dict[int, tuple[int, int]]:
        """Bytes up and down of every closed round."""
        rows = self._rows(
            "SELECT round, SUM(bytes_up), SUM(bytes_down) FROM traffic"
            " WHERE run_id = ? GROUP BY round",
            run_id,
        )
        return {number: (up, down) for number, up, down in rows}

    def events(self, run_id: str | None = None) -> list[EventRow]:
        """The story of one run, or of all."""
        where = "" if run_id is None else " WHERE run_id = ?"
        rows = self._rows(
            "SELECT run_id, round, device, kind, text, digest, at, chain"
            f" FROM events{where} ORDER BY id",
            *(() if run_id is None else (run_id,)),
        )
        return [EventRow(*row) for row in rows]

    def _stream(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(query, values)
        except sqlite3.Error as error:
            raise ledger_error(error, self._path) from error

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except LEDGER_ERRORS as error:
            raise ledger_error(error, self._path) from error


def _run(row: tuple[Any, ...]) -> RunRow:
    run = RunRow(*row)
    return replace(run, labels=bool(run.labels))


def _round(row: tuple[Any, ...]) -> RoundRow:
    return RoundRow(
        round=row[0],
        evaluation=bool(row[1]),
        base=row[2],
        version=row[3],
        selected=tuple(json.loads(row[4])),
        attempt=row[5],
        closed=bool(row[6]),
        dropped=tuple((device, reason) for device, reason in json.loads(row[7])),
        report=RangeReport.from_json(json.loads(row[8])) if row[8] else None,
        seconds=row[9],
    )
