# SPDX-License-Identifier: Apache-2.0
"""A round's updates where the ledger keeps them: read again, never held."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import SumBlob, Update, read_sum, read_update
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.partial import Fold, PartialSum, numpy_fold
from fleetgrad.federation.state import State
from fleetgrad.federation.strategies import Strategy
from fleetgrad.federation.sums import part_of
from fleetgrad.store import RoundRow, RunRow, Store, layout_of
from fleetgrad.wire.messages import UpdateHeader, Work


def counted(store: Store, run: RunRow, row: RoundRow) -> Iterator[tuple[int, Update]]:
    """Device and update of all that count in a round, by device; one in memory at a time."""
    shape = layout_of(store.bundle(run.bundle)).shape
    work = Work.EVALUATE if row.evaluation else Work.EVALUATE | Work.TRAIN
    for device, blob in store.ledger.blobs(run.run_id, row.round):
        yield device, read_update(blob, shape, work)


def summed(
    store: Store, run: RunRow, row: RoundRow, strategy: Strategy
) -> Iterator[tuple[SumBlob, PartialSum]]:
    """Sums of gateways that count in a round, whole and as partial sums; one at a time."""
    layout = layout_of(store.bundle(run.bundle))
    trained = not row.evaluation
    for _, blob in store.ledger.sums(run.run_id, row.round):
        found = read_sum(blob, len(layout.segments) if trained else 0)
        yield found, part_of(layout, strategy, found, trained=trained)


class LedgerCohort:
    """`fleetgrad.federation.strategies.Cohort` of a training round in the ledger.

    Args:
        store: Where it is.
        run: The run.
        row: The round.
    """

    def __init__(self, store: Store, run: RunRow, row: RoundRow) -> None:
        self._store = store
        self._run = run
        self._row = row
        layout = layout_of(store.bundle(run.bundle))
        self._first = UpdateHeader.BYTES + len(layout.segments)

    @cached_property
    def _known(self) -> dict[int, Facts]:
        updates = counted(self._store, self._run, self._row)
        return {device: Facts.of(update) for device, update in updates}

    @property
    def devices(self) -> list[int]:
        """See `Cohort`."""
        return list(self._known)

    @property
    def facts(self) -> list[Facts]:
        """See `Cohort`."""
        return list(self._known.values())

    def block(self, start: int, stop: int) -> NDArray[np.int8]:
        """See `Cohort`."""
        first, last = self._first + start, self._first + stop
        pieces = self._store.ledger.slices(self._run.run_id, self._row.round, first, last)
        return np.frombuffer(b"".join(pieces), np.int8).reshape(-1, stop - start)


def aggregator(
    store: Store,
    run: RunRow,
    strategy: Strategy,
    memory: bytes,
    fold: Fold = numpy_fold,
) -> Aggregator:
    """Makes the versions of a run whose updates are in the ledger."""

    def cohort(number: int) -> LedgerCohort:
        row = next(r for r in store.ledger.rounds(run.run_id) if r.round == number)
        return LedgerCohort(store, run, row)

    layout = layout_of(store.bundle(run.bundle))
    return Aggregator(strategy, layout, memory, cohort, fold)


def resume(store: Store, run: RunRow, state: State, fold: Fold = numpy_fold) -> Aggregator:
    """The aggregator of a run as the ledger has it: with all that was counted in an open round."""
    rounds = store.ledger.rounds(run.run_id)
    versions = [row.version for row in rounds if row.version is not None]
    memory = store.memory(versions[-1]) if versions else b""
    made = aggregator(store, run, state.plan.strategy, memory, fold)
    if state.round is not None and state.round.number <= state.plan.rounds:
        row = next(row for row in rounds if row.round == state.round.number)
        for device, update in counted(store, run, row):
            made.add(device, update, Facts.of(update))
        for _, part in summed(store, run, row, state.plan.strategy):
            made.merge(part)
    return made
