# SPDX-License-Identifier: Apache-2.0
"""Content-addressed files: written once, whole or not at all, found by their SHA-256."""

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path

from fleetgrad.errors import StorageFullError, StoreError

_PARTIAL = ".partial-"


def storage_error(error: OSError, where: Path, doing: str) -> StoreError:
    """Names what the operating system refused; a full disk gets a class of its own."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(
            f"no space left while {doing}",
            where=str(where),
            hint="free some space and run the same command again: it resumes",
        )
    return StoreError(f"{error.strerror or error} while {doing}", where=str(where))


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file that is there whole, and stays, or is not there at all.

    Temporary name, fsync, rename, fsync of the folder.

    Raises:
        StorageFullError: When there is no space left; no partial file stays behind.
        StoreError: When the operating system refuses otherwise.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise storage_error(error, path, "writing a file") from error


class Blobs:
    """A folder of immutable files.

    Args:
        directory: Made when it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, data: bytes) -> str:
        """Keeps bytes; returns their SHA-256, hex. Durable when this returns.

        Raises:
            StoreError: When they cannot be written; then nothing is left behind.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self._directory / name
        if not self._holds(name):  # a damaged one is written anew
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(error, self._directory, "making a folder") from error
            write_durably(path, data)
        return name

    def tidy(self) -> None:
        """Removes what a killed writer left half written; for the only writer to call."""
        for path in self._directory.glob(f"{_PARTIAL}*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _holds(self, name: str) -> bool:
        try:
            return hashlib.sha256((self._directory / name).read_bytes()).hexdigest() == name
        except FileNotFoundError:
            return False

    def get(self, name: str) -> bytes:
        """The bytes with this SHA-256.

        Raises:
            StoreError: When they are missing or are not what they were.
        """
        path = self._directory / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, path, "reading the model store") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise StoreError(
                "a file of the model store is damaged",
                where=str(path),
                expected="contents whose SHA-256 is the file's name",
                hint="restore the file from a backup, or use another run.dir",
            )
        return data
