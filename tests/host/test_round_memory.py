# SPDX-License-Identifier: Apache-2.0
"""A round's memory does not grow with what its updates weigh."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np

from fleetgrad.cli.bench.aggregation import measure_memory
from fleetgrad.device import Arrived, Joined, Update
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import start, step
from fleetgrad.federation.model import GlobalModel, Layout
from fleetgrad.federation.state import Plan, State
from fleetgrad.federation.strategies import FedAvg

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


def test_round_over_many_links_makes_the_mean_of_all_updates() -> None:
    """The bench compares the version with a sum of its own."""
    found = measure_memory(40)
    assert found.devices == 40
    assert found.peak > found.before
