# SPDX-License-Identifier: Apache-2.0
"""Computes a run's versions again from what the ledger counted, and compares digests."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeAlias

from fleetgrad.device import Fate, read_sum
from fleetgrad.errors import StoreError
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.ranges import UNIT, RangeReport, grow
from fleetgrad.federation.strategies import Next, make_strategy
from fleetgrad.run.cohort import aggregator, counted, summed
from fleetgrad.store import EventRow, RoundRow, RunRow, Store, Version, layout_of, verify


@dataclass(frozen=True)
class ReplayedRound:
    """A round whose version was computed again.

    Attributes:
        round: Its number.
        updates: How many updates it averaged.
        version: The version it made.
        digest: SHA-256, hex, of that version: the recomputed one and the recorded one.
        restored: The version's file was lost or damaged, and was written again.
    """

    round: int
    updates: int
    version: int
    digest: str
    restored: bool


@dataclass(frozen=True)
class Replay:
    """A run that was computed again and found to be what the ledger says.

    Attributes:
        run_id: The run.
        rounds: Its training rounds that are closed.
        decisions: How many updates there were of each decision, e.g. ``accepted``.
        lines: Lines of the whole ledger's story, every one of which is intact.
        chain: The newest hash of the story.
    """

    run_id: str
    rounds: tuple[ReplayedRound, ...]
    decisions: dict[str, int]
    lines: int
    chain: str


_Key: TypeAlias = tuple[int | None, int | None, str]  # round, device, SHA-256 of the update

DECISIONS = ("accepted", "duplicate", "stale", "malformed")


def replay(store: Store, run_id: str, *, restore: bool = False) -> Replay:
    """Computes every version of a run again, from its base version and the accepted updates.

    Args:
        store: The run directory; open for writing if anything is to be restored.
        run_id: The run.
        restore: Write a version's files again where they are lost or damaged.

    Raises:
        StoreError: The story was changed after it was written, an accepted update is not the one
            that was accepted, or a version is not what its updates make.
    """
    ledger, where = store.ledger, str(store.directory)
    run = ledger.run(run_id)
    story = ledger.events()
    chain = verify(story, where)
    mine = [line for line in story if line.run_id == run_id]
    _match_updates(store, run, mine)
    versions = {version.version: version for version in ledger.versions()}
    _match_versions(versions.values(), story, where)
    made = Next(_base(store, versions, run.base))
    rounds: list[ReplayedRound] = []
    newest = run.base
    for row in ledger.rounds(run_id):
        if row.version is None:
            continue
        if row.base != newest:  # larger ranges, before the first round
            made = Next(_widened(store, row.base, made.model, where))
        made = _compute(store, run, row, made)
        newest = row.version
        digest = made.model.digest.hex()
        _match_round(row, versions[row.version], made, f"{where}: run {run_id}")
        count = len(ledger.updates(run_id, row.round))
        restored = restore and not _is_intact(store, row.version)
        if restored:
            store.keep_model(made.model)
            store.keep_memory(made.memory)
        rounds.append(ReplayedRound(row.round, count, row.version, digest, restored=restored))
    found = Counter(line.kind for line in mine)
    decisions = {kind: found[kind] for kind in DECISIONS}
    return Replay(run_id, tuple(rounds), decisions, len(story), chain)


def _compute(store: Store, run: RunRow, row: RoundRow, before: Next) -> Next:
    """The version that a round makes of the one it started from."""
    config = json.loads(run.config)
    options = dict(config["strategy"])
    where = f"run {run.run_id}: strategy"
    strategy = make_strategy(options.pop("name"), options, config["train"], where)
    folded = aggregator(store, run, strategy, before.memory)
    report = RangeReport.empty(before.model.layout.shape)
    for device, update in counted(store, run, row):
        folded.add(device, update, Facts.of(update))
        report = report.add(update)
    for _, part in summed(store, run, row, strategy):
        folded.merge(part)
        report = report.merge(part.report)
    made = folded.finish(before.model, row.round)
    ranges = config["ranges"]
    if ranges["grow"] == "off":
        return made
    return replace(made, model=grow(made.model, report, round(ranges["tolerance"] * UNIT)))


def _match_round(row: RoundRow, recorded: Version, made: Next, where: str) -> None:
    """The version, and what its strategy remembers, are those that the ledger has."""
    found = sha256(made.memory).hexdigest() if made.memory else ""
    for what, then, now in (
        ("", recorded.digest, made.model.digest.hex()),
        (" with the memory of its strategy", recorded.memory, found),
    ):
        if then != now:
            raise StoreError(
                f"round {row.round} does not make version {row.version}{what}",
                where=where,
                expected=f"digest {then[:16]}, not {now[:16]}",
                hint="restore the ledger from a backup",
            )


def _widened(store: Store, number: int, model: GlobalModel, where: str) -> GlobalModel:
    """A version that has larger ranges than the model, and is the same otherwise."""
    version = store.model(number)
    more = [new - old for new, old in zip(version.exponents, model.exponents, strict=True)]
    if min(more, default=-1) < 0 or model.grown(version.exponents).digest != version.digest:
        raise StoreError(
            f"version {number} is not the one before with larger ranges",
            where=where,
            hint="restore the ledger from a backup",
        )
    return version


def _base(store: Store, versions: dict[int, Version], number: int) -> GlobalModel:
    """A version's parameters; computed again from an older one where their file is lost."""
    todo: list[int] = []
    while not _is_intact(store, number):
        version = versions[number]
        if version.parent is None or version.run_id is None:
            return store.model(number)  # nothing to compute it from: says what is wrong with it
        todo.append(number)
        number = version.parent
    model = store.model(number)
    for lost in reversed(todo):
        version = versions[lost]
        assert version.run_id is not None
        run = store.ledger.run(version.run_id)
        row = next(r for r in store.ledger.rounds(run.run_id) if r.version == lost)
        if row.base != number:
            model = _widened(store, row.base, model, str(store.directory))
        older = versions[number].run_id == run.run_id  # else a run begins here: it knows nothing
        memory = store.memory(number) if older else b""
        model = _compute(store, run, row, Next(model, memory)).model
        number = lost
    return model


def _is_intact(store: Store, number: int) -> bool:
    try:
        store.model(number)
        store.memory(number)
    except StoreError:
        return False
    return True


def _match_updates(store: Store, run: RunRow, story: Sequence[EventRow]) -> None:
    """Every update that counts was accepted once, and is still the one that was."""
    accepted: Counter[_Key] = Counter(
        (line.round, line.device, line.digest) for line in story if line.kind == "accepted"
    )
    kept: Counter[_Key] = Counter()
    totals: Counter[_Key] = Counter()
    segments = len(layout_of(store.bundle(run.bundle)).segments)
    for row in store.ledger.rounds(run.run_id):
        for device, blob in store.ledger.blobs(run.run_id, row.round):
            kept[row.round, device, sha256(blob).hexdigest()] += 1
        for _, blob in store.ledger.sums(run.run_id, row.round):
            found = read_sum(blob, 0 if row.evaluation else segments)
            totals[row.round, None, found.digest] += 1
            inside = [entry for entry in found.entries if entry.fate is Fate.COUNTED]
            kept.update((row.round, entry.device, entry.digest.hex()) for entry in inside)
    told: Counter[_Key] = Counter(
        (line.round, None, line.digest) for line in story if line.kind == "sum"
    )
    if told != totals:
        raise StoreError(
            "a gateway's sum is lost, or not the one that was accepted",
            where=str(store.directory),
            hint="restore the ledger from a backup",
        )
    for difference, problem in (
        (accepted - kept, "is lost or was changed"),
        (kept - accepted, "was never accepted"),
    ):
        for place, who, digest in difference:
            raise StoreError(
                f"an update {problem}: round {place}, device {who}",
                where=str(store.directory),
                expected=f"SHA-256 {digest[:16]}",
                hint="restore the ledger from a backup",
            )


def _match_versions(versions: Iterable[Version], story: Iterable[EventRow], where: str) -> None:
    """Every version was made once, with the digest it has now."""
    made = [line.digest for line in story if line.kind == "version"]
    known = [version.digest for version in versions]
    for number, (then, now) in enumerate(zip(made, known, strict=False), start=1):
        if then != now:
            raise StoreError(
                f"version {number} is not the one that was made",
                where=where,
                expected=f"digest {then[:16]}, not {now[:16]}",
                hint="restore the ledger from a backup",
            )
    if len(made) != len(known):
        raise StoreError(f"{len(known)} versions, of which {len(made)} were made", where=where)
