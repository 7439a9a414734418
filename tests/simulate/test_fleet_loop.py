# SPDX-License-Identifier: Apache-2.0
"""The loop over a fleet makes of each device what a device makes of itself, and sums exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from fleetgrad.data import DeviceData, write_image
from fleetgrad.device import Update, read_update
from fleetgrad.errors import DataError, RoundError
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import from_vector
from fleetgrad.federation.strategies import FedAvg
from fleetgrad.simulate.native import Shard
from fleetgrad.simulate.samples import FleetSamples, Part, of_devices
from fleetgrad.simulate.sums import partial_of
from fleetgrad.wire.messages import RoundOpen, Work
from support.fleets import Built, digest_by_definition, drawn_by_definition, drawn_fleet, terms
from support.native_node import NativeNode
from support.node_host import Host

ALL = Work.EVALUATE | Work.TRAIN


def device_data(samples: FleetSamples, made: Built, device: int) -> DeviceData:
    worker = made.fleet.worker(samples)
    train, held = worker.samples_of(device), worker.samples_of(device, held_out=True)
    number = samples.first_id + device
    return DeviceData(number, str(number), *train, *held, samples.target_kind)


def over_the_wire(made: Built, data: DeviceData, opened: RoundOpen, vector: bytes) -> bytes:
    """The update of a node with this data, portable kernels and all."""
    host = Host(NativeNode(made.device, write_image(data)))
    host.greet()
    answers = host.send(opened, *host.chunks(vector, opened.round))
    return host.collect(answers, opened.round)


def updates_of(made: Built, shard: Shard, work: int) -> list[Update]:
    assert shard.blobs is not None
    return [read_update(row.tobytes(), made.layout.shape, work) for row in shard.blobs]


def shaken(vector: bytes, made: Built, seed: int) -> bytes:
    """Other parameters, a few of them near their limits, or beyond."""
    dice = np.random.default_rng(seed)
    model = from_vector(made.layout, vector)
    noise = dice.integers(-3000, 3001, model.values.size) << 16
    values = model.values + noise
    for master in (40000, 127 * 256 - 1):
        values[dice.integers(made.layout.bias_count, model.values.size, 20)] = master << 16
    return replace(model, values=values).vector()


@pytest.mark.parametrize(
    "asked_for",
    [
        {"number": 1},
        {"number": 70000, "batch": 4, "epochs": 3},
        {"number": 2, "batch": 3, "epochs": 2, "max_steps": 2, "work": Work.TRAIN},
        {"number": 3, "max_steps": 1},
        {"number": 4, "work": Work.EVALUATE},
    ],
)
def test_a_board_and_its_virtual_twin_send_the_same_bytes(
    head: Built, asked_for: dict[str, int]
) -> None:
    fleet = drawn_fleet(40, first_id=(1 << 40) + 3)
    vector = shaken(head.vector, head, asked_for["number"])
    opened = terms(head, vector, **asked_for)
    asked = np.array([0, 39, 7], np.uint32)
    shard = head.fleet.worker(fleet).run(opened, vector, asked, blobs=True)
    assert shard.blobs is not None
    for device, blob in zip(asked.tolist(), shard.blobs, strict=True):
        data = device_data(fleet, head, device)
        assert blob.tobytes() == over_the_wire(head, data, opened, vector)


@pytest.mark.parametrize("work", [ALL, Work.MEASURE])
def test_a_deep_scheme_with_ranges_is_the_same_too(layers: Built, work: int) -> None:
    fleet = drawn_fleet(5, least=20, most=24)
    opened = terms(layers, layers.vector, epochs=2, work=work)
    asked = np.arange(5, dtype=np.uint32)
    shard = layers.fleet.worker(fleet).run(opened, layers.vector, asked, blobs=True)
    assert shard.blobs is not None
    for device in (1, 4):
        data = device_data(fleet, layers, device)
        assert shard.blobs[device].tobytes() == over_the_wire(layers, data, opened, layers.vector)
    updates = updates_of(layers, shard, work)
    assert shard.totals.measured == sum(u.measured for u in updates) > 0
    assert shard.clipped == tuple(
        sum(u.measured * u.clipped[place] for u in updates) for place in range(layers.layout.ranges)
    )


@pytest.mark.parametrize("name", ["head", "layers"])
def test_sums_are_those_of_the_updates(name: str, request: pytest.FixtureRequest) -> None:
    made: Built = request.getfixturevalue(name)
    fleet = drawn_fleet(30)
    vector = shaken(made.vector, made, 1)
    opened = terms(made, vector)
    asked = np.arange(30, dtype=np.uint32)
    shard = made.fleet.worker(fleet).run(opened, vector, asked, records=True, blobs=True)
    updates = updates_of(made, shard, opened.work)
    counts = [count for _, count in made.layout.segments]
    sums = [0] * made.layout.count
    for update in updates:
        scales = np.repeat(update.exponents, counts).tolist()
        for place, (q, scale) in enumerate(zip(update.deltas.tolist(), scales, strict=True)):
            sums[place] += update.samples * q << scale
    assert shard.deltas.tolist() == sums
    bounds = [sum(u.samples * 127 << u.exponents[s] for u in updates) for s in range(len(counts))]
    assert list(shard.bounds) == bounds
    assert list(shard.saturated) == [
        sum(u.saturated[s] for u in updates) for s in range(len(counts))
    ]
    assert list(shard.saturating) == [
        sum(u.saturated[s] > 0 for u in updates) for s in range(len(counts))
    ]
    assert sum(shard.saturated) > 0
    totals = shard.totals
    assert (totals.updates, totals.failed, totals.empty) == (30, 0, 0)
    assert totals.samples == sum(u.samples for u in updates)
    assert totals.train_loss == sum(u.samples * u.train_loss for u in updates)
    assert totals.eval_samples == sum(u.eval_samples for u in updates)
    assert totals.eval_correct == sum(u.eval_correct for u in updates)
    assert totals.eval_loss == sum(u.eval_samples * u.eval_loss for u in updates)
    assert [(r["samples"], r["train_loss"], r["eval_correct"]) for r in shard.records] == [
        (u.samples, u.train_loss, u.eval_correct) for u in updates
    ]
    by_hand = sum(digest_by_definition(d + 1, u, counts) for d, u in enumerate(updates))
    assert totals.digest == by_hand % (1 << 64)


def test_cutting_a_round_up_changes_nothing(head: Built) -> None:
    fleet = drawn_fleet(400)
    opened = terms(head, head.vector)
    asked = np.random.default_rng(2).permutation(400).astype(np.uint32)
    whole = head.fleet.worker(fleet).run(opened, head.vector, asked)
    for pieces in (2, 7):
        with ThreadPoolExecutor(pieces) as pool:
            parts = list(
                pool.map(
                    lambda part: head.fleet.worker(fleet).run(opened, head.vector, part),
                    np.array_split(asked, pieces),
                )
            )
        totals = parts[0].totals
        for part in parts[1:]:
            totals = totals.merge(part.totals)
        assert totals == whole.totals
        assert np.array_equal(sum(part.deltas for part in parts), whole.deltas)


def test_digest_tells_rounds_devices_and_versions_apart(head: Built) -> None:
    opened = terms(head, head.vector)
    asked = np.arange(20, dtype=np.uint32)

    def digest(opened: RoundOpen, fleet: FleetSamples, asked: np.ndarray = asked) -> int:
        return head.fleet.worker(fleet).run(opened, head.vector, asked).totals.digest

    fleet = drawn_fleet(20)
    found = {
        digest(opened, fleet),
        digest(opened, fleet, asked[1:]),
        digest(opened, replace(fleet, first_id=2)),
        digest(replace(opened, round=2), fleet),
        digest(replace(opened, seed=4), fleet),
        digest(replace(opened, version_tag=1), fleet),
    }
    assert len(found) == 6


def test_drawn_samples_are_what_the_specification_says(head: Built) -> None:
    fleet = drawn_fleet(50, first_id=(1 << 32) - 2, classes=7)
    worker = head.fleet.worker(fleet)
    for device in (0, 1, 2, 49):
        for held_out in (False, True):
            x, y = worker.samples_of(device, held_out=held_out)
            wanted_x, wanted_y = drawn_by_definition(fleet, device, held_out=held_out)
            assert np.array_equal(x, wanted_x)
            assert np.array_equal(y, wanted_y)


def test_devices_share_a_pool_or_have_it_in_their_order(head: Built) -> None:
    dice = np.random.default_rng(3)
    x = dice.integers(-128, 128, (50, 64)).astype(np.int8)
    y = dice.integers(0, 10, (50, 1)).astype(np.uint8)
    rows = dice.integers(0, 50, 40).astype(np.uint32)
    first = np.array([0, 10, 10, 40], np.uint64)
    held = Part(x, y, np.array([0, 2, 3, 3], np.uint64), rows)
    listed = FleetSamples(3, 1, 1, Part(x, y, first, rows), held)
    plain = FleetSamples(3, 1, 1, Part(x[rows], y[rows], first), Part(x[rows], y[rows], held.first))
    opened = terms(head, head.vector)
    asked = np.arange(3, dtype=np.uint32)
    shards = [
        head.fleet.worker(fleet).run(opened, head.vector, asked, records=True)
        for fleet in (listed, plain)
    ]
    assert shards[0].totals == shards[1].totals
    assert shards[0].totals.empty == 1  # without samples it is left out, and counted
    assert shards[0].records["status"].tolist() == [0, -6, 0]
    assert np.array_equal(shards[0].deltas, shards[1].deltas)


def test_split_by_user_gives_what_a_run_would_average(head: Built) -> None:
    fleet = drawn_fleet(6)
    data = [device_data(fleet, head, device) for device in range(6)]
    split = of_devices(data)
    opened = terms(head, head.vector)
    asked = np.arange(6, dtype=np.uint32)
    shard = head.fleet.worker(split).run(opened, head.vector, asked, blobs=True)
    drawn = head.fleet.worker(fleet).run(opened, head.vector, asked)
    assert shard.totals == drawn.totals
    model = from_vector(head.layout, head.vector)
    whole = Aggregator(FedAvg(), head.layout)
    for device, update in enumerate(updates_of(head, shard, opened.work), start=1):
        whole.add(device, update, Facts.of(update))
    summed = Aggregator(FedAvg(), head.layout)
    summed.merge(partial_of(drawn, head.layout))
    assert summed.finish(model, 1).model.digest == whole.finish(model, 1).model.digest
    with pytest.raises(DataError, match="ids"):
        of_devices(data[1:])


def test_terms_that_a_node_refuses_are_refused(head: Built) -> None:
    worker = head.fleet.worker(drawn_fleet(2))
    asked = np.arange(2, dtype=np.uint32)
    good = terms(head, head.vector)
    for bad in (
        replace(good, batch=5),
        replace(good, batch=0),
        replace(good, epochs=0),
        replace(good, lr_mantissa=1),
        replace(good, work=0),
        replace(good, work=int(Work.MEASURE)),  # it has no ranges
    ):
        with pytest.raises(RoundError, match="no device takes these terms"):
            worker.run(bad, head.vector, asked)


def test_a_label_beyond_the_outputs_fails_that_device_alone(head: Built) -> None:
    x = np.zeros((4, 64), np.int8)
    y = np.array([[1], [10], [2], [3]], np.uint8)
    part = Part(x, y, np.array([0, 1, 2, 4], np.uint64))
    fleet = FleetSamples(3, 1, 1, part, Part(x, y, np.zeros(4, np.uint64)))
    shard = head.fleet.worker(fleet).run(
        terms(head, head.vector), head.vector, np.arange(3, dtype=np.uint32), records=True
    )
    assert (shard.totals.updates, shard.totals.failed) == (2, 1)
    assert shard.records["status"].tolist() == [0, -1, 0]
    assert shard.totals.samples == 3


def test_scores_are_those_of_a_device_that_evaluates(head: Built) -> None:
    fleet = drawn_fleet(1, held=40)
    worker = head.fleet.worker(fleet)
    x, y = worker.samples_of(0, held_out=True)
    opened = terms(head, head.vector, work=Work.EVALUATE)
    shard = worker.run(opened, head.vector, np.zeros(1, np.uint32))
    correct, loss = worker.score(head.vector, x, y)
    assert correct == shard.totals.eval_correct
    assert round(loss / 40) == shard.totals.eval_loss // 40


def test_sums_that_may_have_left_64_bits_are_refused(head: Built) -> None:
    shard = head.fleet.worker(drawn_fleet(2)).run(
        terms(head, head.vector), head.vector, np.arange(2, dtype=np.uint32)
    )
    for bound in (1 << 63, (1 << 64) - 1):
        with pytest.raises(RoundError, match="64 bits"):
            partial_of(replace(shard, bounds=(0, bound)), head.layout)
