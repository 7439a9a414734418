# SPDX-License-Identifier: Apache-2.0
"""Updates that boards have made and no host has settled yet: on disk, one for every board."""

from __future__ import annotations

import contextlib
import secrets
import zlib
from pathlib import Path

from fleetgrad.errors import StoreError
from fleetgrad.store.blobs import storage_error, write_durably
from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.messages import RoundOpen

_CRC_BYTES = 4
_STARTS = "starts"
_NAME = "name"


class Custody:
    """A folder of updates.

    Args:
        directory: Made when it does not exist.

    Raises:
        StoreError: It cannot be made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, directory, "making the gateway's folder") from error

    def count_start(self) -> int:
        """How often this folder was opened by a gateway, this time included; durable."""
        path = self._directory / _STARTS
        try:
            starts = int(path.read_text()) + 1
        except FileNotFoundError:
            starts = 1
        except (OSError, ValueError) as error:
            raise StoreError(f"no count of starts: {error}", where=str(path)) from error
        write_durably(path, str(starts).encode())
        return starts

    def name(self) -> str:
        """What tells this folder's gateway from others: random, made once, durable."""
        path = self._directory / _NAME
        if not path.exists():
            write_durably(path, secrets.token_hex(8).encode())
        return path.read_text()

    def identity(self) -> int:
        """The same as a device id; SQLite's integers hold it."""
        return int(self.name(), 16) >> 1

    def keep(self, device: int, terms: RoundOpen, update: bytes) -> None:
        """Keeps a board's update instead of the one before; durable when this returns.

        Raises:
            StoreError: It cannot be written; the board keeps its update then.
        """
        data = terms.pack() + update
        write_durably(self._path(device), zlib.crc32(data).to_bytes(_CRC_BYTES, "little") + data)

    def find(self, device: int) -> tuple[RoundOpen, bytes] | None:
        """Terms and update that are kept for a board, None when none are.

        Raises:
            StoreError: The file is damaged.
        """
        path = self._path(device)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, path, "reading an update in custody") from error
        crc, body = data[:_CRC_BYTES], data[_CRC_BYTES:]
        try:
            if int.from_bytes(crc, "little") != zlib.crc32(body):
                raise MessageError("its CRC does not match")
            terms = RoundOpen.unpack(body[: RoundOpen.BYTES])
        except MessageError as error:
            raise StoreError(
                "an update in custody is damaged",
                where=str(path),
                hint="delete the file: the board makes the update again",
            ) from error
        return terms, body[RoundOpen.BYTES :]

    def drop(self, device: int) -> None:
        """Forgets a board's update; harmless when there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._path(device).unlink()

    def _path(self, device: int) -> Path:
        return self._directory / f"{device:016x}.update"
