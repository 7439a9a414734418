# SPDX-License-Identifier: Apache-2.0
"""Shards of a round as tasks on a Ray cluster (the extra ``ray``): for fleets beyond one machine.

Every process builds the firmware's loop for its own processor, once, from the bundle that travels
with the fleet's samples. Integers come out the same everywhere, and sums commute: the model is that
of the local engine.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.device import Shape
from fleetgrad.errors import ToolError
from fleetgrad.simulate.engine import shards_of
from fleetgrad.simulate.native import FleetLibrary, FleetWorker, Shard
from fleetgrad.simulate.samples import FleetSamples
from fleetgrad.toolchain import build_image
from fleetgrad.wire.messages import RoundOpen


@dataclass(frozen=True, eq=False)
class Kit:
    """What a process needs to compute shards.

    Attributes:
        files: The bundle's, by name.
        shape: What updates consist of.
        samples: The fleet's; the arrays lie in the cluster's shared memory.
        key: Names all that, for a process that has it already.
    """

    files: dict[str, bytes]
    shape: Shape
    samples: FleetSamples
    key: str

    def __eq__(self, other: object) -> bool:
        """By key."""
        return isinstance(other, Kit) and other.key == self.key

    def __hash__(self) -> int:
        """By key."""
        return hash(self.key)


@lru_cache(maxsize=1)
def _worker(kit: Kit) -> FleetWorker:
    """This process's; built when it is first asked."""
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as fresh:
        folder = Path(fresh) / "bundle"
        folder.mkdir()
        for name, content in kit.files.items():
            (folder / name).write_bytes(content)
        board = load_board(paths.boards(), "native")
        image = build_image(folder, board, "fleet", Path(fresh) / "image")
        return FleetLibrary(image.path, kit.shape).worker(kit.samples)  # loaded: the file may go


def _compute(
    kit: Kit,
    terms: RoundOpen,
    vector: bytes,
    devices: NDArray[np.uint32],
    wanted: tuple[bool, bool],
) -> Shard:
    """A task."""
    records, blobs = wanted
    return _worker(kit).run(terms, vector, devices, records=records, blobs=blobs)


class RayEngine:
    """Tasks on the cluster that ``RAY_ADDRESS`` names, or on one of this machine.

    Args:
        library: The firmware's loop, for scoring.
        folder: The bundle's.
        samples: The fleet's.
        workers: Tasks at a time; 0: as many as the cluster has processors.
        shards: Into how many parts a round is cut; 0: as suits.

    Raises:
        ToolError: Ray is not installed.
    """

    name = "ray"

    def __init__(
        self,
        library: FleetLibrary,
        folder: Path,
        samples: FleetSamples,
        workers: int = 0,
        shards: int = 0,
    ) -> None:
        self._ray = _ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            self._ray.init(
                num_cpus=workers or None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        self.workers = workers or int(self._ray.cluster_resources().get("CPU", 1))
        self._shards = shards
        self._scorer = library.worker(samples)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        self._kit = self._ray.put(Kit(files, library.shape, samples, f"{folder}/{id(self)}"))
        self._task: Any = self._ray.remote(_compute)

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
        parts = shards_of(devices, self.workers, self._shards)
        sent = self._ray.put(vector)
        wanted = (records, blobs)
        waiting = [self._task.remote(self._kit, terms, sent, part, wanted) for part in parts]
        for part, reference in zip(parts, waiting, strict=True):
            shard: Shard = self._ray.get(reference)
            yield part, shard

    def score(
        self, vector: bytes, inputs: NDArray[np.int8], targets: NDArray[np.uint8]
    ) -> tuple[int, int]:
        """See `Engine`: here, in this process."""
        return self._scorer.score(vector, inputs, targets)

    def close(self) -> None:
        """See `Engine`; a cluster that was there before stays."""
        if self._own:
            self._ray.shutdown()


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ToolError(
            "the engine ray needs the Python package ray",
            hint="pip install 'fleetgrad[ray]', or --engine local",
        ) from error
    return ray
