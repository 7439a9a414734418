# SPDX-License-Identifier: Apache-2.0
"""What may be written to the ledger; every write is part of a transaction."""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from fleetgrad.federation.ranges import RangeReport
from fleetgrad.store.chain import GENESIS, link
from fleetgrad.store.records import DeviceRow, RunRow, UpdateRow


class Transaction:
    """Writes that become durable together, or not at all."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._db = connection
        self._now = now
        self._chain: str | None = None  # the newest line's hash, once it is known

    def add_bundle(self, digest: str, name: str, manifest: str, params: str, model: str) -> None:
        """Makes a bundle known; harmless when it is. The last three are blobs."""
        self._db.execute(
            "INSERT OR IGNORE INTO bundles VALUES (?, ?, ?, ?, ?)",
            (digest, name, manifest, params, model),
        )

    def add_version(
        self,
        digest: str,
        *,
        parent: int | None,
        bundle: str,
        params: str,
        created_by: str,
        memory: str = "",
        run_id: str | None = None,
        number: int | None = None,
    ) -> int:
        """Adds a version; returns its number. Parameters and the strategy's memory are blobs."""
        cursor = self._db.execute(
            "INSERT INTO versions"
            " (digest, parent, bundle, params, memory, run_id, round, created_by, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (digest, parent, bundle, params, memory, run_id, number, created_by, self._now),
        )
        made = cursor.lastrowid
        assert made is not None
        text = f"version {made}" + ("" if parent is None else f" of version {parent}")
        self.note("version", text, run_id=run_id, number=number, digest=digest)
        return made

    def add_run(self, run: RunRow, devices: Sequence[DeviceRow]) -> None:
        """Adds a run and its roster."""
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.run_id,
                run.fingerprint,
                run.bundle,
                run.base,
                run.fleet,
                run.rounds,
                run.labels,
                run.loss_unit,
                run.state,
                run.starts,
                run.config,
                self._now,
            ),
        )
        self._db.executemany(
            "INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?)",
            [
                (run.run_id, d.device, d.name, d.train_samples, d.eval_samples, d.left_out)
                for d in devices
            ],
        )

    def start_run(self, run_id: str, fleet: str) -> None:
        """Counts one more start of a run; a device that was refused has another chance."""
        self._db.execute(
            "UPDATE runs SET starts = starts + 1, fleet = ? WHERE run_id = ?", (fleet, run_id)
        )
        self._db.execute(
            "UPDATE devices SET left_out = '' WHERE run_id = ? AND train_samples > 0", (run_id,)
        )

    def set_state(self, run_id: str, state: str) -> None:
        """Moves a run on to ``complete`` or ``reported``."""
        self._db.execute("UPDATE runs SET state = ? WHERE run_id = ?", (state, run_id))

    def bar_device(self, run_id: str, device: int, reason: str) -> None:
        """Says why a device takes no part."""
        self._db.execute(
            "UPDATE devices SET left_out = ? WHERE run_id = ? AND device = ?",
            (reason, run_id, device),
        )

    def open_round(
        self,
        run_id: str,
        number: int,
        *,
        evaluation: bool,
        base: int,
        selected: Sequence[int],
        attempt: int,
    ) -> None:
        """Adds a round, or counts up its attempt."""
        self._db.execute(
            "INSERT INTO rounds VALUES (?, ?, ?, ?, NULL, ?, ?, 0, '[]', '', 0, ?)"
            " ON CONFLICT DO UPDATE SET attempt = excluded.attempt",
            (
                run_id,
                number,
                evaluation,
                base,
                json.dumps(list(selected)),
                attempt,
                self._now,
            ),
        )

    def add_update(
        self, run_id: str, update: UpdateRow, blob: bytes | None, total: int | None = None
    ) -> None:
        """Adds an accepted update, and the decision to the story.

        Args:
            run_id: The run.
            update: What is known of it.
            blob: Its bytes; None where a gateway has summed it.
            total: Number of that sum.

        Raises:
            sqlite3.IntegrityError: When this device's update of this round is there already.
        """
        self._db.execute(
            "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run_id,
                update.round,
                update.device,
                update.samples,
                update.eval_samples,
                update.eval_correct,
                update.eval_loss,
                update.train_loss,
                update.digest,
                blob,
                total,
                self._now,
            ),
        )
        self.note(
            "accepted",
            f"its update counts with {update.samples} samples"
            + ("" if total is None else f", in sum {total}"),
            run_id=run_id,
            number=update.round,
            device=update.device,
            digest=update.digest,
        )

    def add_sum(self, run_id: str, number: int, gateway: str, digest: str, blob: bytes) -> int:
        """Adds a gateway's sum, and the decision to the story; returns its number.

        Args:
            run_id: The run.
            number: The round.
            gateway: Whose it is.
            digest: SHA-256 of its bytes, hex.
            blob: Its bytes.
        """
        cursor = self._db.execute(
            "INSERT INTO sums (run_id, round, gateway, digest, blob, at) VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, number, gateway, digest, blob, self._now),
        )
        made = cursor.lastrowid
        assert made is not None
        text = f"sum {made} of the gateway {gateway}"
        self.note("sum", text, run_id=run_id, number=number, digest=digest)
        return made

    def close_round(
        self,
        run_id: str,
        number: int,
        *,
        version: int | None,
        dropped: Sequence[tuple[int, str]],
        report: RangeReport,
        seconds: float,
        traffic: Mapping[int, tuple[int, int]],
    ) -> None:
        """Closes a round. ``traffic``: bytes up and down by device."""
        told = json.dumps([list(d) for d in dropped])
        self._db.execute(
            "UPDATE rounds SET version = ?, dropped = ?, report = ?, seconds = ?, closed = 1"
            " WHERE run_id = ? AND round = ?",
            (version, told, json.dumps(report.to_json()), seconds, run_id, number),
        )
        self._db.executemany(
            "INSERT INTO traffic VALUES (?, ?, ?, ?, ?)",
            [(run_id, number, device, up, down) for device, (up, down) in traffic.items()],
        )

    def note(
        self,
        kind: str,
        text: str,
        *,
        run_id: str | None = None,
        number: int | None = None,
        device: int | None = None,
        digest: str = "",
    ) -> None:
        """Adds a line to the story, chained to the one before."""
        if self._chain is None:
            last = self._db.execute("SELECT chain FROM events ORDER BY id DESC LIMIT 1").fetchone()
            self._chain = last[0] if last else GENESIS
        line = (run_id, number, device, kind, text, digest, self._now)
        self._db.execute(
            "INSERT INTO events (run_id, round, device, kind, text, digest, at, chain)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*line, chain := link(self._chain, line)),
        )
        self._chain = chain
