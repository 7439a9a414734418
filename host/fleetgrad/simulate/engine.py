# SPDX-License-Identifier: Apache-2.0
"""Who computes the shards of a round: threads of this process, or whatever else can."""

import os
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetgrad.simulate.native import FleetLibrary, FleetWorker, Shard
from fleetgrad.simulate.samples import FleetSamples
from fleetgrad.wire.messages import RoundOpen

LEAST = 1000
"""Devices of a shard, where there are so many: fewer cost more to hand out than to compute."""

MOST = 16384
"""Devices of a shard: what is kept of each of them while it runs stays small."""


class Engine(Protocol):
    """Computes rounds of a fleet.

    Attributes:
        name: As ``--engine``.
        workers: How many threads or processes.
    """

    name: str
    workers: int

    def run(
        self,
        terms: RoundOpen,
        vector: bytes,
        devices: NDArray[np.uint32],
        *,
        records: bool = False,
        blobs: bool = False,
    ) -> Iterator[tuple[NDArray[np.uint32], Shard]]:
        """One round of some devices; shards with the devices that each is of, in their order."""

    def score(
        self, vector: bytes, inputs: NDArray[np.int8], targets: NDArray[np.uint8]
    ) -> tuple[int, int]:
        """See `FleetWorker.score`."""

    def close(self) -> None:
        """Lets go of threads or processes."""


def shards_of(
    devices: NDArray[np.uint32], workers: int, shards: int = 0
) -> list[NDArray[np.uint32]]:
    """Cuts a cohort up.

    Args:
        devices: The cohort.
        workers: How many there are to do the work.
        shards: Into how many; 0: as suits the workers.
    """
    count = shards or max(-(-len(devices) // MOST), min(4 * workers, len(devices) // LEAST), 1)
    return [part for part in np.array_split(devices, count) if len(part)]


class LocalEngine:
    """Threads of this process; each has memory of its own, and none waits for Python.

    Args:
        library: The firmware's loop.
        samples: The fleet's.
        workers: How many threads; 0: one for every processor that this process may use.
        shards: Into how many parts a round is cut; 0: as suits.
    """

    name = "local"

    def __init__(
        self, library: FleetLibrary, samples: FleetSamples, workers: int = 0, shards: int = 0
    ) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self._shards = shards
        self._idle: queue.SimpleQueue[FleetWorker] = queue.SimpleQueue()
        for _ in range(self.workers):
            self._idle.put(library.worker(samples))
        self._pool = ThreadPoolExecutor(self.workers, "fleet")

    def run(
        self,
        terms: RoundOpen,
        vector: bytes,
        devices: NDArray[np.uint32],
        *,
        records: bool = False,
        blobs: bool = False,
    ) -> Iterator[tuple[NDArray[np.uint32], Shard]]:
        """See `Engine`."""

        def compute(part: NDArray[np.uint32]) -> Shard:
            worker = self._idle.get()
            try:
                return worker.run(terms, vector, part, records=records, blobs=blobs)
            finally:
                self._idle.put(worker)

        parts = shards_of(devices, self.workers, self._shards)
        yield from zip(parts, self._pool.map(compute, parts), strict=True)

    def score(
        self, vector: bytes, inputs: NDArray[np.int8], targets: NDArray[np.uint8]
    ) -> tuple[int, int]:
        """See `Engine`."""
        worker = self._idle.get()
        try:
            return worker.score(vector, inputs, targets)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """See `Engine`."""
        self._pool.shutdown(cancel_futures=True)


class Stopwatch:
    """Adds up how long something took: by the wall, and in this process's processor time."""

    def __init__(self) -> None:
        self.seconds = self.processor_seconds = 0.0
        self._since = self._used = 0.0

    def __enter__(self) -> "Stopwatch":
        """Starts."""
        self._since, self._used = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops."""
        self.seconds += time.perf_counter() - self._since
        self.processor_seconds += time.process_time() - self._used
