# SPDX-License-Identifier: Apache-2.0
"""What every link can do."""

from typing import Protocol


class Link(Protocol):
    """A two-way stream of bytes that never blocks."""

    def fileno(self) -> int:
        """For a selector: readable when bytes wait, writable when bytes can leave."""

    def read(self) -> bytes:
        """Bytes that have come; empty when none wait.

        Raises:
            LinkClosed: When the other end is gone.
        """

    def write(self, data: bytes) -> int:
        """Hands bytes over; returns how many were taken, which may be none.

        Raises:
            LinkClosed: When the other end is gone.
        """

    def close(self) -> None:
        """Ends the link; harmless when it has ended."""
