# SPDX-License-Identifier: Apache-2.0
"""Ledgers of processes that may be killed at any moment."""

from __future__ import annotations

from pathlib import Path

from fleetgrad.errors import StoreError
from fleetgrad.store import Store


def begun(run_dir: Path) -> bool:
    """Whether the ledger has had its first commit."""
    try:
        Store(run_dir, writing=False).close()
    except StoreError as error:
        if error.what not in {"there is no ledger yet", "the ledger is still empty"}:
            raise
        return False
    return True
