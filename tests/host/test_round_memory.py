# SPDX-License-Identifier: Apache-2.0
"""A round's memory does not grow with what its updates weigh."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fleetgrad.cli.bench.aggregation import measure_memory
from fleetgrad.config import Config
from fleetgrad.device import Arrived, Joined, Update
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import start, step
from fleetgrad.federation.model import GlobalModel, Layout
from fleetgrad.federation.state import Plan, State
from fleetgrad.federation.strategies import FedAvg
from fleetgrad.fleet import MqttFleet
from fleetgrad.link import Certificates, parse_broker
from fleetgrad.run import execute
from fleetgrad.run.prepare import gather
from support.brokers import Mosquitto
from support.federation import project
from support.mqtt_nodes import FLEET, start_nodes
from support.runs import run

PARAMS, DEVICES = 100_000, 200
LAYOUT = Layout(bytes(32), (("weight", PARAMS),))
PLAN = Plan(
    roster=tuple(range(1, DEVICES + 1)),
    evaluators=(),
    model_digest=bytes(8),
    rounds=1,
    min_updates=1,
    fraction=1.0,
    timeout_s=10.0,
    retries=0,
    seed=0,
    lr_mantissa=1 << 14,
    lr_exponent=0,
    epochs=1,
    batch=1,
    max_steps=0,
)


def test_engine_and_sums_keep_no_updates() -> None:
    state = start(State(PLAN, GlobalModel(LAYOUT, np.zeros(PARAMS, np.int64))), 0.0)
    aggregator = Aggregator(FedAvg(), LAYOUT)
    for device in PLAN.roster:
        state, actions = step(state, Joined(device, 1, 0, 0, 1), 0.0)
    gc.collect()
    tracemalloc.start()
    for device in PLAN.roster[:-1]:
        deltas = np.full(PARAMS, device % 100, np.int8)
        update = Update(1, 0, 1, 0, 0, 0, 0, (0,), deltas, deltas.tobytes())
        state, actions = step(state, Arrived(device, 1, update), 0.0)
        for action in actions:
            aggregator.follow(action)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert state.round
    assert len(state.round.accepted) == DEVICES - 1
    assert held < 1_000_000  # of 20 MB that came
    assert peak < 4_000_000


def test_updates_that_have_to_wait_for_room_all_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for a single update, the others begin when it is here."""
    wanted = run(project(tmp_path / "free", "rounds.count=1"))
    monkeypatch.setattr("fleetgrad.run.conductor._UPLOAD_BYTES", 1)
    found = run(project(tmp_path / "narrow", "rounds.count=1"))
    assert found.model_digest == wanted.model_digest
    assert [row.accepted for row in found.rounds] == [(1, 2, 3, 4)]


def test_updates_wait_behind_a_broker_as_well(
    digits: Config,
    digits_bundle: Path,
    mqtt_node: Path,
    undisturbed: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleetgrad.run.conductor._UPLOAD_BYTES", 1)
    directory = digits.run.dir.parent
    broker = Mosquitto(directory / "broker", "allow_anonymous true")
    placements = gather(digits, digits_bundle).placements(starts=1)
    fleet = MqttFleet(parse_broker(f"mqtt://{broker.address}"), Certificates(), FLEET, devices=3)
    try:
        with start_nodes(mqtt_node, placements, directory, broker.address):
            assert execute(digits, digits_bundle, fleet).model_digest == undisturbed
    finally:
        broker.stop()


def test_round_over_many_links_makes_the_mean_of_all_updates() -> None:
    """The bench compares the version with a sum of its own."""
    found = measure_memory(40)
    assert found.devices == 40
    assert found.peak > found.before
