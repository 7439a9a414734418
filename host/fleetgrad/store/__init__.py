# SPDX-License-Identifier: Apache-2.0
"""What survives: the ledger of runs, rounds and updates, and every version of the model."""

from fleetgrad.store.blobs import Blobs
from fleetgrad.store.chain import verify
from fleetgrad.store.export import Difference, diff, export
from fleetgrad.store.ledger import Ledger
from fleetgrad.store.records import DeviceRow, EventRow, RoundRow, RunRow, UpdateRow, Version
from fleetgrad.store.store import LEDGER, Store, layout_of, refuse_if_in_use
from fleetgrad.store.transaction import Transaction

__all__ = [
    "LEDGER",
    "Blobs",
    "DeviceRow",
    "Difference",
    "EventRow",
    "Ledger",
    "RoundRow",
    "RunRow",
    "Store",
    "Transaction",
    "UpdateRow",
    "Version",
    "diff",
    "export",
    "layout_of",
    "refuse_if_in_use",
    "verify",
]
