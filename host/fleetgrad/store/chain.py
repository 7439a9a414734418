# SPDX-License-Identifier: Apache-2.0
"""The chain of hashes through a ledger's story: no line of it can change or go unnoticed.

Every line's hash covers the line before, so that the newest hash stands for all of them. Kept
elsewhere, it proves later that nothing was rewritten, the end included.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from fleetgrad.errors import StoreError
from fleetgrad.store.records import EventRow

GENESIS = hashlib.sha256(b"fleetgrad ledger").hexdigest()


def link(before: str, line: Sequence[object]) -> str:
    """The hash of a line: SHA-256 over the one before, a line feed, and the line as JSON, hex.

    Args:
        before: The hash of the line before, or `GENESIS`.
        line: Run, round, device, kind, text, digest and time, as the ledger holds them.
    """
    text = json.dumps(list(line), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def verify(lines: Iterable[EventRow], where: str) -> str:
    """Checks every line of a story, from the first of the ledger on; returns the newest hash.

    Args:
        lines: All lines of the ledger, oldest first.
        where: The ledger, for the message.

    Raises:
        StoreError: A line was changed, added or taken away after it was written.
    """
    newest = GENESIS
    for number, row in enumerate(lines, start=1):
        line = (row.run_id, row.round, row.device, row.kind, row.text, row.digest, row.at)
        try:
            newest = link(newest, line)
        except TypeError:  # what should be text is not even that
            newest = GENESIS
        if newest != row.chain:
            raise StoreError(
                f"line {number} of the ledger's story is not what was written",
                where=f"{where}: {row.kind}: {row.text}",
                expected=f"chain {newest[:16]}, not {str(row.chain)[:16]}",
                hint="restore the ledger from a backup",
            )
    return newest
