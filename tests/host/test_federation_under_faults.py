# SPDX-License-Identifier: Apache-2.0
"""The real engine and sessions against device models, in virtual time over bad lines."""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad import bundle as bundles
from fleetgrad.config import DataConfig
from fleetgrad.data import partition, read, write_image
from fleetgrad.device import Printed, Rebooted
from fleetgrad.federation.actions import Assign, SendReceipt
from fleetgrad.federation.model import Layout, from_vector
from fleetgrad.federation.state import Plan, Stage, State
from fleetgrad.store import layout_of
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.messages import Verdict
from support.device_model import DeviceModel, Traits
from support.fedavg_oracle import final_digest, select
from support.federation import DIGEST, SEGMENTS
from support.native_node import NativeNode
from support.simulator import Faults, Simulation

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"

INITIAL = struct.pack("<3i24h", -5, 0, 2**30, *range(-12, 12))
LAYOUT = Layout(DIGEST, SEGMENTS)


def plan(devices: int, **changes: object) -> Plan:
    base: dict[str, object] = {
        "roster": tuple(range(1, devices + 1)),
        "evaluators": tuple(range(1, devices + 1)),
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
    traits = fleet(devices)
    simulation = Simulation(
        state, SEGMENTS, lambda device, boots: DeviceModel(traits[device], boots), faults, seed
    )
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
    simulation = run(Faults(reboot=0.08), seed)
    assert any(isinstance(event, Rebooted) for event in simulation.events)
    assert simulation.state.model.digest.hex() == expected(simulation)


def test_boot_logs_between_frames_are_shown_and_skipped() -> None:
    simulation = run(Faults(garbage=0.4), seed=3)
    printed = [event.text for event in simulation.events if isinstance(event, Printed)]
    assert any("ets Jun" in text for text in printed)
    assert simulation.state.model.digest.hex() == expected(simulation)


# --- The firmware itself -------------------------------------------------------------------------


class Board:
    """The firmware's node, of which any number run in this process."""

    def __init__(
        self, library: Library, image: bytes, boots: int, flash: ctypes.Array[ctypes.c_uint8] | None
    ) -> None:
        self._node = NativeNode(library, image, boot_count=boots + 1, flash=flash)
        self._more = True

    def receive(self, data: bytes, now_ms: int) -> None:
        self._node.receive(data)
        self._more = True

    def take(self, now_ms: int) -> bytes:
        # A few samples at a time, so that faults find it in the middle of its work.
        data, self._more = self._node.run(now_ms, pieces=8)
        return data

    def wait(self, now_ms: int) -> int | None:
        return 0 if self._more else self._node.wait_ms(now_ms)


@pytest.fixture(scope="module")
def boards(digits_bundle: Path, library: Path) -> Callable[..., Simulation]:
    """Runs two rounds on three boards of the digits example."""
    bundle = bundles.load(digits_bundle)
    data = read(EXAMPLE / "digits.npz")
    parts = partition(data, DataConfig(limit=24), bundle, devices=3)
    images = {part.device: write_image(part) for part in parts}
    firmware = Library(library)
    layout = layout_of(bundle)

    def simulate(faults: Faults, seed: int, flash_bytes: int = 0) -> Simulation:
        flash = {device: (ctypes.c_uint8 * flash_bytes)() for device in images if flash_bytes}
        terms = plan(3, rounds=2, model_digest=bundle.digest[:8], lr_exponent=-4)
        state = State(terms, from_vector(layout, bundle.initial_params))
        simulation = Simulation(
            state,
            layout.segments,
            lambda device, boots: Board(firmware, images[device], boots, flash.get(device)),
            faults,
            seed,
        )
        simulation.run()
        return simulation

    return simulate


@pytest.mark.parametrize("seed", range(12))
def test_firmware_on_bad_lines_learns_what_it_learns_on_good_ones(
    boards: Callable[..., Simulation], seed: int
) -> None:
    quiet = boards(Faults(), 0)
    dice = random.Random(seed)
    faults = Faults(
        lose=dice.uniform(0, 0.06),
        flip=dice.uniform(0, 0.05),
        garbage=dice.uniform(0, 0.2),
        reboot=dice.choice([0.0, 0.001]),
    )
    noisy = boards(faults, seed)
    assert noisy.error is None
    assert len(noisy.records()) == len(set(noisy.records())) == 9
    assert noisy.state.model.digest == quiet.state.model.digest


@pytest.mark.parametrize("seed", range(6))
def test_boards_with_flash_that_are_reset_all_the_time_learn_the_same(
    boards: Callable[..., Simulation], seed: int
) -> None:
    quiet = boards(Faults(), 0)
    faults = Faults(lose=0.02, reboot=0.03)
    restless = boards(faults, seed, flash_bytes=32768)
    assert restless.error is None
    assert sum(restless.boots.values()) >= 3
    assert len(restless.records()) == len(set(restless.records())) == 9
    assert restless.state.model.digest == quiet.state.model.digest
