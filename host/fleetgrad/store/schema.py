# SPDX-License-Identifier: Apache-2.0
"""The ledger's tables, and how its database is opened."""

import sqlite3
from pathlib import Path

from fleetgrad.errors import StorageFullError, StoreError

SCHEMA_VERSION = 4

TABLES = """
CREATE TABLE bundles (
    digest      TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    manifest    TEXT NOT NULL,           -- blobs
    params      TEXT NOT NULL,
    model       TEXT NOT NULL
) STRICT;

CREATE TABLE versions (
    version     INTEGER PRIMARY KEY,
    digest      TEXT NOT NULL,
    parent      INTEGER REFERENCES versions,
    bundle      TEXT NOT NULL REFERENCES bundles,
    params      TEXT NOT NULL,           -- blob: little-endian int64, 16 fractional bits
    memory      TEXT NOT NULL,           -- blob: what the strategy wants back; empty: nothing
    run_id      TEXT REFERENCES runs,
    round       INTEGER,
    created_by  TEXT NOT NULL,
    at          REAL NOT NULL,
    UNIQUE (run_id, round)
) STRICT;

CREATE TABLE runs (
    run_id      TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,           -- of everything that decides what the run computes
    bundle      TEXT NOT NULL REFERENCES bundles,
    base        INTEGER NOT NULL REFERENCES versions,
    fleet       TEXT NOT NULL,
    rounds      INTEGER NOT NULL,
    labels      INTEGER NOT NULL,        -- whether accuracy means something
    loss_unit   REAL NOT NULL,           -- what 1024 of a device's loss units are
    state       TEXT NOT NULL CHECK (state IN ('open', 'complete', 'reported')),
    starts      INTEGER NOT NULL,
    config      TEXT NOT NULL,           -- JSON, every key
    at          REAL NOT NULL
) STRICT;

CREATE TABLE devices (
    run_id        TEXT NOT NULL REFERENCES runs,
    device        INTEGER NOT NULL,
    name          TEXT NOT NULL,
    train_samples INTEGER NOT NULL,
    eval_samples  INTEGER NOT NULL,
    left_out      TEXT NOT NULL,
    PRIMARY KEY (run_id, device)
) STRICT;

CREATE TABLE rounds (
    run_id      TEXT NOT NULL REFERENCES runs,
    round       INTEGER NOT NULL,
    evaluation  INTEGER NOT NULL,
    base        INTEGER NOT NULL REFERENCES versions,
    version     INTEGER REFERENCES versions,
    selected    TEXT NOT NULL,           -- JSON list of device ids
    attempt     INTEGER NOT NULL,
    closed      INTEGER NOT NULL,
    dropped     TEXT NOT NULL,           -- JSON list of [device, reason]
    report      TEXT NOT NULL,           -- JSON: what its updates say of limits, summed
    seconds     REAL NOT NULL,
    at          REAL NOT NULL,
    PRIMARY KEY (run_id, round)
) STRICT;

CREATE TABLE updates (
    run_id       TEXT NOT NULL,
    round        INTEGER NOT NULL,
    device       INTEGER NOT NULL,
    samples      INTEGER NOT NULL,
    eval_samples INTEGER NOT NULL,
    eval_correct INTEGER NOT NULL,
    eval_loss    INTEGER NOT NULL,
    train_loss   INTEGER NOT NULL,
    digest       TEXT NOT NULL,           -- SHA-256 of the blob
    blob         BLOB,                    -- NULL where a gateway has kept it, and sent a sum
    sum          INTEGER REFERENCES sums,
    at           REAL NOT NULL,
    UNIQUE (run_id, round, device),
    FOREIGN KEY (run_id, round) REFERENCES rounds,
    CHECK ((blob IS NULL) = (sum IS NOT NULL))
) STRICT;

CREATE TABLE sums (
    sum          INTEGER PRIMARY KEY,
    run_id       TEXT NOT NULL,
    round        INTEGER NOT NULL,
    gateway      TEXT NOT NULL,           -- hexadecimal: it may be beyond a signed integer
    digest       TEXT NOT NULL,           -- SHA-256 of the blob
    blob         BLOB NOT NULL,
    at           REAL NOT NULL,
    FOREIGN KEY (run_id, round) REFERENCES rounds
) STRICT;

CREATE TABLE traffic (
    run_id      TEXT NOT NULL,
    round       INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    bytes_up    INTEGER NOT NULL,
    bytes_down  INTEGER NOT NULL,
    UNIQUE (run_id, round, device),
    FOREIGN KEY (run_id, round) REFERENCES rounds
) STRICT;

CREATE TABLE events (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT,
    round       INTEGER,
    device      INTEGER,
    kind        TEXT NOT NULL,
    text        TEXT NOT NULL,
    digest      TEXT NOT NULL,           -- of the update or version that this is about, or empty
    at          REAL NOT NULL,
    chain       TEXT NOT NULL            -- SHA-256 over the entry before and this one
) STRICT;
"""


# A text that is damaged may be none at all, in a row as well as in what SQLite says of it.
LEDGER_ERRORS = (sqlite3.Error, ValueError)


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fix of the WAL-reset bug, which could lose commits."""
    if version >= (3, 51, 3):
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 50, 7), (3, 44, 6)))


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """Opens the ledger.

    Args:
        path: The file; a writer makes it when it does not exist.
        writing: Whether anything will be written; a reader leaves the file as it is.

    Raises:
        StoreError: When the file is no ledger, or one of another version.
    """
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        _prepare(connection, path, writing=writing)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, LEDGER_ERRORS):
            raise ledger_error(error, path) from error
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, *, writing: bool) -> None:
    if writing:
        connection.execute("PRAGMA foreign_keys = ON")
        mode = "WAL" if wal_is_safe(sqlite3.sqlite_version_info) else "DELETE"
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("PRAGMA synchronous = FULL")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    if found == 0 and tables == 0:
        if not writing:  # a writer was stopped before its first commit, or is about to make it
            raise StoreError("the ledger is still empty", where=str(path), hint="fleetgrad run")
        connection.executescript(
            f"BEGIN EXCLUSIVE; {TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif found != SCHEMA_VERSION:
        raise StoreError(
            f"a ledger of version {found}" if found else "a database, but no ledger",
            where=str(path),
            expected=f"version {SCHEMA_VERSION}",
            hint="use the fleetgrad that made it, or another run.dir",
        )


def ledger_error(error: sqlite3.Error | ValueError, path: Path) -> StoreError:
    """SQLite's complaint as one of ours, or that of whoever reads what it holds."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, ValueError):
        code = sqlite3.SQLITE_CORRUPT
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return StorageFullError(
            "no space left while writing the ledger",
            where=str(path),
            hint="free some space and run the same command again: it resumes",
        )
    if code is not None and code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreError(
            "the ledger is damaged, or no ledger",
            where=str(path),
            hint="restore it from a backup, or use another run.dir",
        )
    return StoreError(f"the ledger cannot be used: {error}", where=str(path))
