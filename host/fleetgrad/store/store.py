# SPDX-License-Identifier: Apache-2.0
"""The store of one project: its ledger, its files, and the lock that keeps writers apart."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from fleetgrad import bundle as bundles
from fleetgrad.bundle import Bundle
from fleetgrad.errors import StoreError
from fleetgrad.federation.model import GlobalModel, Layout, Scale, from_bytes
from fleetgrad.store.blobs import Blobs, storage_error
from fleetgrad.store.export import Difference, diff, export
from fleetgrad.store.ledger import Ledger
from fleetgrad.store.records import Version
from fleetgrad.store.transaction import Transaction

LEDGER = "ledger.sqlite"
LOCK = "lock"


def layout_of(bundle: Bundle) -> Layout:
    """The bundle's parameter vector as the federation sees it."""
    scales = tuple(Scale(s.unit, s.run) for s in bundle.segments)
    return Layout(
        bundle.digest,
        tuple((s.stored, s.count) for s in bundle.segments),
        len(bundle.ranges),
        tuple(s.range for s in bundle.segments),
        scales if all(scale.values for scale in scales) else (),
    )


class Store:
    """A run directory.

    Use it as a context manager; a writer holds an exclusive lock until it is closed.

    Args:
        directory: The folder; a writer makes it when it does not exist.
        writing: Whether anything will be written.

    Raises:
        StoreError: When there is nothing to read, or another process is writing.
    """

    def __init__(self, directory: Path, *, writing: bool) -> None:
        self.directory = directory
        self._lock: int | None = None
        if writing:
            try:
                directory.mkdir(parents=True, exist_ok=True)
                self._lock = _lock(directory / LOCK)
            except OSError as error:
                raise storage_error(error, directory, "making the run directory") from error
        elif not (directory / LEDGER).is_file():
            raise StoreError(
                "there is no ledger yet",
                where=str(directory),
                hint="fleetgrad run makes one; or set run.dir",
            )
        self.blobs = Blobs(directory / "blobs")
        try:
            if writing:
                self.blobs.tidy()
            self.ledger = self._open_ledger(directory / LEDGER, writing=writing)
        except BaseException:
            self._unlock()
            raise

    def _open_ledger(self, path: Path, *, writing: bool) -> Ledger:
        """Replaced by tests that stop the process around a commit."""
        return Ledger(path, writing=writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the ledger and lets the next writer in."""
        self.ledger.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)  # closing releases the lock
            self._lock = None

    def keep_bundle(self, transaction: Transaction, bundle: Bundle) -> None:
        """Keeps all that exporting will need, so that the build folder may go."""
        transaction.add_bundle(
            bundle.digest.hex(),
            bundle.name,
            self.blobs.put(bundle.manifest),
            self.blobs.put(bundle.initial_params),
            self.blobs.put(bundle.model),
        )

    def keep_model(self, model: GlobalModel) -> str:
        """Keeps a version's parameters; returns the blob's name."""
        return self.blobs.put(model.to_bytes())

    def bundle(self, digest: str) -> Bundle:
        """A bundle that a run has used."""
        manifest, params, model = (self.blobs.get(name) for name in self.ledger.bundle(digest))
        return bundles.parse(manifest, params, model, where=f"{self.directory}: bundle {digest}")

    def model(self, number: int) -> GlobalModel:
        """A version's parameters, checked against its digest.

        Raises:
            StoreError: When there is no such version or its parameters are damaged.
        """
        version = self.ledger.version(number)
        layout = layout_of(self.bundle(version.bundle))
        model = from_bytes(layout, self.blobs.get(version.params))
        if model.digest.hex() != version.digest:
            raise StoreError(
                f"version {number} is not what its digest says",
                where=str(self.directory),
                expected=version.digest,
                hint="restore the store from a backup",
            )
        return model

    def keep_memory(self, memory: bytes) -> str:
        """Keeps what a strategy wants back; returns the blob's name, empty for nothing."""
        return self.blobs.put(memory) if memory else ""

    def memory(self, number: int) -> bytes:
        """What the strategy that made a version wants back.

        Raises:
            StoreError: When there is no such version or its memory is damaged.
        """
        name = self.ledger.version(number).memory
        return self.blobs.get(name) if name else b""

    def newest(self, bundle: str | None = None) -> Version | None:
        """The current version, of one bundle or of all; None in an empty store."""
        versions = [v for v in self.ledger.versions() if bundle in (None, v.bundle)]
        return versions[-1] if versions else None

    def rollback(self, number: int, now: float) -> Version:
        """Makes an older version the current one again, as a new version with its parameters.

        Args:
            number: The version to return to.
            now: Seconds since the epoch.

        Raises:
            StoreError: When there is no such version, or it is the current one.
        """
        target = self.ledger.version(number)
        self.model(number)  # it must be intact
        current = self.newest()
        assert current is not None
        if current.digest == target.digest:
            raise StoreError(
                f"version {number} is what the current version {current.version} is already",
                where=str(self.directory),
                hint="fleetgrad models list",
            )
        with self.ledger.write(now) as transaction:
            made = transaction.add_version(
                target.digest,
                parent=current.version,
                bundle=target.bundle,
                params=target.params,
                created_by=f"rollback to {number}",
            )
            transaction.note("rollback", f"version {made} is version {number} again", run_id=None)
        return self.ledger.version(made)

    def export(self, number: int | None = None) -> bytes:
        """A version, by default the current one, as a .tflite file's bytes."""
        if number is None:
            newest = self.newest()
            if newest is None:
                raise StoreError("the store has no version yet", where=str(self.directory))
            number = newest.version
        return export(self.bundle(self.ledger.version(number).bundle), self.model(number))

    def diff(self, old: int, new: int) -> list[Difference]:
        """What changed between two versions.

        Raises:
            StoreError: When they belong to different bundles.
        """
        first, second = self.ledger.version(old), self.ledger.version(new)
        if first.bundle != second.bundle:
            raise StoreError(
                f"versions {old} and {new} belong to different models",
                where=str(self.directory),
                expected=f"bundle {first.bundle[:16]}, not {second.bundle[:16]}",
            )
        return diff(self.bundle(first.bundle), self.model(old), self.model(new))


def refuse_if_in_use(directory: Path) -> None:
    """For work that comes before a run is entered, such as building into its directory.

    Raises:
        StoreError: Another process is writing there.
    """
    if (directory / LOCK).exists():
        os.close(_lock(directory / LOCK))


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        raise StoreError(
            f"another process is using this run directory{f' (pid {holder})' if holder else ''}",
            where=str(path.parent),
            hint="wait until it is done, or set another run.dir",
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle
