# SPDX-License-Identifier: Apache-2.0
"""The real engine and sessions against device models, in virtual time over bad lines."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.device import Printed, Rebooted
from fleetgrad.federation.actions import Assign, SendReceipt
from fleetgrad.federation.model import Layout, from_vector
from fleetgrad.federation.selection import select
from fleetgrad.federation.state import Plan, Stage, State
from fleetgrad.wire.messages import Verdict
from support.device_model import Traits
from support.fedavg_oracle import final_digest
from support.federation import DIGEST, SEGMENTS
from support.simulator import Faults, Simulation

INITIAL = struct.pack("<3i24h", -5, 0, 2**30, *range(-12, 12))
LAYOUT = Layout(DIGEST, SEGMENTS)


def plan(devices: int, **changes: object) -> Plan:
    base: dict[str, object] = {
        "roster": tuple(range(1, devices + 1)),
        "model_digest": DIGEST[:8],
        "rounds": 3,
        "min_updates": 1,
        "fraction": 1.0,
        "timeout_s": 600.0,
        "retries": 0,
        "seed": 5,
        "lr_mantissa": 1 << 14,
        "lr_exponent": -3,
        "epochs": 1,
        "batch": 1,
        "max_steps": 0,
    }
    return Plan(**{**base, **changes})  # type: ignore[arg-type]


def fleet(devices: int) -> dict[int, Traits]:
    return {
        d: Traits(d, DIGEST[:8], SEGMENTS, train_samples=10 + 7 * d) for d in range(1, devices + 1)
    }


def run(faults: Faults, seed: int, devices: int = 3, **changes: object) -> Simulation:
    state = State(plan(devices, **changes), from_vector(LAYOUT, INITIAL))
    simulation = Simulation(state, fleet(devices), faults, seed)
    simulation.run()
    return simulation


def expected(simulation: Simulation) -> str:
    """The digest that the devices which the rounds selected must lead to."""
    settled = simulation.state.plan
    chosen = [
        select(settled.roster, n, seed=settled.seed, fraction=settled.fraction, least=1)
        for n in range(1, settled.rounds + 1)
    ]
    terms = next(a.terms for a in simulation.actions if isinstance(a, Assign))
    return final_digest(DIGEST, INITIAL, fleet(len(settled.roster)), chosen, terms)


def test_quiet_line_gives_the_model_that_the_definition_gives() -> None:
    simulation = run(Faults(), seed=1)
    assert simulation.state.stage is Stage.FINISHED
    assert simulation.state.model.digest.hex() == expected(simulation)


def test_a_share_of_the_fleet_is_drawn_and_only_that_trains() -> None:
    simulation = run(Faults(), seed=1, devices=5, fraction=0.5)
    trained = [number for number, _ in simulation.records() if number <= 3]
    assert trained == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert simulation.state.model.digest.hex() == expected(simulation)


def test_every_accepted_update_gets_its_receipt_after_its_record() -> None:
    simulation = run(Faults(), seed=1)
    order = [a for a in simulation.actions if not isinstance(a, Assign)]
    for number, device in simulation.records():
        kinds = [
            type(a).__name__
            for a in order
            if getattr(a, "device", None) == device and getattr(a, "round", None) == number
        ]
        assert kinds == ["Record", "SendReceipt"]
    receipts = [a for a in simulation.actions if isinstance(a, SendReceipt)]
    assert {a.verdict for a in receipts} == {Verdict.ACCEPTED}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lose=st.floats(0, 0.15),
    flip=st.floats(0, 0.1),
    garbage=st.floats(0, 0.2),
    reboot=st.floats(0, 0.01),
)
def test_bad_lines_and_reboots_change_nothing_but_the_time(
    seed: int, lose: float, flip: float, garbage: float, reboot: float
) -> None:
    simulation = run(Faults(lose=lose, flip=flip, garbage=garbage, reboot=reboot), seed)
    assert simulation.error is None
    records = simulation.records()
    assert len(records) == len(set(records)), "an update counted twice"
    assert simulation.state.model.digest.hex() == expected(simulation)


@pytest.mark.parametrize("seed", range(8))
def test_devices_that_reboot_in_mid_round_finish_it(seed: int) -> None:
    simulation = run(Faults(reboot=0.04), seed)
    assert any(isinstance(event, Rebooted) for event in simulation.events)
    assert simulation.state.model.digest.hex() == expected(simulation)


def test_boot_logs_between_frames_are_shown_and_skipped() -> None:
    simulation = run(Faults(garbage=0.5), seed=3)
    printed = [event.text for event in simulation.events if isinstance(event, Printed)]
    assert any("ets Jun" in text for text in printed)
    assert simulation.state.model.digest.hex() == expected(simulation)
