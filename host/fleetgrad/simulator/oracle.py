# SPDX-License-Identifier: Apache-2.0
"""What an undisturbed device makes of a round, and what must be true of a ledger in the end."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path

from fleetgrad.config import Config, learning_rate
from fleetgrad.device import Arrived, DeviceSession, Expected, Patience
from fleetgrad.federation.model import GlobalModel
from fleetgrad.run.replay import replay
from fleetgrad.simulator.host import Violation
from fleetgrad.store import Store, layout_of
from fleetgrad.toolchain.library import Library
from fleetgrad.toolchain.node import NativeNode
from fleetgrad.wire.messages import RoundOpen, Work

_PATIENT = Patience(listen=0.0)


class Oracle:
    """Updates of devices to which nothing happens; each is computed once.

    Args:
        library: The devices' firmware.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[tuple[bytes, RoundOpen, int], bytes] = {}

    def update(self, model: GlobalModel, terms: RoundOpen, device: int, image: bytes) -> bytes:
        """The update blob that this device must send for these terms."""
        key = (image, terms, device)
        if key not in self._known:
            self._known[key] = self._train(model, terms, device, image)
        return self._known[key]

    def _train(self, model: GlobalModel, terms: RoundOpen, device: int, image: bytes) -> bytes:
        node = NativeNode(self._library, image)
        expected = Expected(device, terms.model_digest, model.layout.shape)
        session = DeviceSession(expected, 1, 0.0, _PATIENT)
        session.open_round(terms, model.vector(), 0.0)
        for _ in range(1000):
            events = session.tick(0.0)
            while data := session.take(0.0):
                node.receive(data)
            data, _ = node.run(0)
            events += session.receive(data, 0.0)
            for event in events:
                if isinstance(event, Arrived):
                    return event.update.blob
        raise Violation(f"an undisturbed device sends no update of round {terms.round}")


def examine(
    directory: Path, config: Config, images: dict[int, bytes], oracle: Oracle
) -> tuple[str, int, int]:
    """Checks a complete run: chain, decisions, versions, and every update bit for bit.

    Args:
        directory: The run directory.
        config: Of the run.
        images: The devices' data.
        oracle: Of their updates.

    Returns:
        Digest of the final version, hex; closed rounds; updates that count.

    Raises:
        Violation: The run's ledger is not what its devices must have led to.
        StoreError: The ledger contradicts itself.
    """
    with Store(directory, writing=False) as store:
        (run,) = store.ledger.runs()
        if run.state not in ("complete", "reported"):
            raise Violation(f"a run that has ended is {run.state}", where=str(directory))
        replay(store, run.run_id)
        bundle = store.bundle(run.bundle)
        layout = layout_of(bundle)
        rounds = store.ledger.rounds(run.run_id)
        updates = 0
        for row in rounds:
            model = store.model(row.base)
            assert model.layout == layout
            terms = _terms(config, bundle.digest[:8], model, row.round, row.evaluation)
            for device, blob in store.ledger.blobs(run.run_id, row.round):
                updates += 1
                if blob != oracle.update(model, terms, device, images[device]):
                    raise Violation(
                        f"round {row.round}: not the update that its device makes",
                        where=f"device {device}",
                    )
        decided = Counter(
            (line.round, line.device)
            for line in store.ledger.events(run.run_id)
            if line.kind == "accepted"
        )
        if any(count > 1 for count in decided.values()):
            raise Violation("an update was accepted twice", where=str(decided))
        newest = store.newest()
        assert newest is not None
        return newest.digest, len(rounds), updates


def _terms(
    config: Config, digest: bytes, model: GlobalModel, number: int, evaluation: bool
) -> RoundOpen:
    """The terms of a round, from the config alone."""
    vector = model.vector()
    mantissa, exponent = learning_rate(config.train.learning_rate)
    return RoundOpen(
        round=number,
        model_digest=digest,
        version_tag=int.from_bytes(model.digest[:4], "little"),
        blob_bytes=len(vector),
        blob_crc=zlib.crc32(vector),
        seed=config.train.seed,
        lr_mantissa=mantissa,
        lr_exponent=exponent,
        epochs=config.train.epochs,
        batch=config.train.batch,
        max_steps=config.train.max_steps,
        work=int(Work.EVALUATE if evaluation else Work.EVALUATE | Work.TRAIN),
    )
