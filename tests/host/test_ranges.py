# SPDX-License-Identifier: Apache-2.0
"""Activation scales that clip grow: before the first round, and when drift shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fleetgrad import bundle as bundles
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.config import Config
from fleetgrad.device import Arrived, Joined, Lost, Update
from fleetgrad.errors import ConfigError
from fleetgrad.federation.actions import (
    Action,
    Assign,
    CloseRound,
    Note,
    OpenRound,
    Record,
    SendReceipt,
    Widen,
)
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.engine import start, step
from fleetgrad.federation.model import GlobalModel, Layout, from_bytes, from_vector
from fleetgrad.federation.ranges import MEASURED_SAMPLES, MEASUREMENT, RangePolicy
from fleetgrad.federation.state import Plan, Stage, State
from fleetgrad.fleet import NativeFleet, VirtualFleet
from fleetgrad.run import execute
from fleetgrad.run.replay import replay
from fleetgrad.schedule import Schedule
from fleetgrad.store import Store
from fleetgrad.toolchain import build_image
from fleetgrad.wire.messages import Verdict, Work
from fleetgrad_codegen.bundle import Ranges, generate
from fleetgrad_codegen.frontend.patch import TensorPatch, patch_model
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.ranges import biases_of, mark_ranges
from fleetgrad_codegen.scheme import Sparse, device_head, find_head
from support.runs import Diary

LAYOUT = Layout(b"d" * 32, (("bias", 2), ("bias", 1), ("weight", 3)), 2, (1, None, None))
VALUES = np.array([3 << 16, -5 << 16, 7, 100, 200, 300], np.int64)
MODEL = GlobalModel(LAYOUT, VALUES, bytes(2))
TOLERANCE = 13
POLICY = RangePolicy(True, True, TOLERANCE, ("first", "second"), ("one", "two", "three"))
PLAN = Plan(
    roster=(1, 2),
    evaluators=(1, 2),
    model_digest=b"d" * 8,
    rounds=2,
    min_updates=1,
    fraction=1.0,
    timeout_s=10.0,
    retries=0,
    seed=0,
    lr_mantissa=1 << 14,
    lr_exponent=0,
    epochs=1,
    batch=1,
    max_steps=7,
    ranges=POLICY,
)


def test_growth_keeps_what_biases_stand_for() -> None:
    grown = MODEL.grown(bytes([0, 2]))
    assert grown.values.tolist() == [3 << 14, -5 << 14, 7, 100, 200, 300]
    assert grown.digest != MODEL.digest
    assert grown.vector()[-2:] == bytes([0, 2])
    assert from_bytes(LAYOUT, grown.to_bytes()).digest == grown.digest
    assert from_vector(LAYOUT, grown.vector()).exponents == bytes([0, 2])
    assert MODEL.grown(bytes([0, 1])).grown(bytes([0, 2])).digest == grown.digest


def test_units_that_have_doubled_since_are_known_for_every_parameter() -> None:
    grown = MODEL.grown(bytes([1, 2]))
    assert grown.doublings_since(bytes([0, 1])).tolist() == [1, 1, 0, 0, 0, 0]


def update(clipped: tuple[int, int], *, number: int, measured: int = 64, trained: bool) -> Update:
    return Update(
        round=number,
        version_tag=0,
        samples=5,
        eval_samples=0,
        eval_correct=0,
        eval_loss=0,
        train_loss=0,
        exponents=(0, 0, 0) if trained else (),
        deltas=np.zeros(6 if trained else 0, np.int8),
        blob=b"",
        measured=measured,
        clipped=clipped,
        saturated=(0, 1, 3) if trained else (),
    )


class Run:
    def __init__(self, **changes: object) -> None:
        self.state = start(State(replace(PLAN, **changes), MODEL), 0.0)  # type: ignore[arg-type]
        self.aggregator = Aggregator(self.state.plan.strategy, LAYOUT)
        self.made: list[Action] = []
        self.take(Joined(1, 5, 2, 0, 1), Joined(2, 5, 2, 0, 1))

    def take(self, *events: object, now: float = 0.0) -> list[Action]:
        made: list[Action] = []
        todo = list(events or (None,))
        while todo:
            self.state, actions = step(self.state, todo.pop(0), now)  # type: ignore[arg-type]
            made += actions
            versions = [self.aggregator.follow(action) for action in actions]
            todo = [*(version for version in versions if version), *todo]
        self.made += made
        return made

    def answer(self, *clipped: tuple[int, int]) -> list[Action]:
        """Both devices answer."""
        assert self.state.round
        number, trained = self.state.round.number, self.state.stage is Stage.ROUND
        return self.take(
            *(
                Arrived(device, number, update(share, number=number, trained=trained))
                for device, share in enumerate(clipped, start=1)
            )
        )


def of(actions: list[Action], kind: type) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def test_passes_come_before_the_first_round_and_go_on_while_something_grows() -> None:
    run = Run()
    first, second = of(run.made, Assign)
    assert (first.terms.work, first.terms.round) == (Work.MEASURE, MEASUREMENT + 1)
    assert first.terms.max_steps == MEASURED_SAMPLES
    assert second.vector[-2:] == bytes(2)
    assert not of(run.made, OpenRound)

    made = run.answer((2 * TOLERANCE + 1, 0), (0, TOLERANCE))
    assert not of(made, Record)
    assert [a.verdict for a in of(made, SendReceipt)] == [Verdict.ACCEPTED] * 2
    assert [a.vector[-2:] for a in of(made, Assign)] == [bytes([1, 0])] * 2
    assert {a.terms.round for a in of(made, Assign)} == {MEASUREMENT + 2}

    made = run.answer((TOLERANCE, 0), (TOLERANCE, 2 * TOLERANCE))
    [widened], [opened] = of(made, Widen), of(made, OpenRound)
    assert widened.model.exponents == run.state.model.exponents == bytes([1, 0])
    assert made.index(widened) < made.index(opened)
    assert opened.round == 1
    terms = of(made, Assign)[0].terms
    assert (terms.work, terms.max_steps) == (Work.EVALUATE | Work.TRAIN, 7)
    assert terms.version_tag == widened.model.tag


def test_there_are_three_passes_at_the_most() -> None:
    run = Run()
    for _ in range(2):
        assert not of(run.answer((9999, 9999), (9999, 9999)), OpenRound)
    made = run.answer((9999, 9999), (9999, 9999))
    assert of(made, OpenRound)
    assert run.state.model.exponents == bytes([3, 3])


def test_what_fits_its_ranges_stays_as_it_is() -> None:
    run = Run()
    made = run.answer((0, 0), (0, TOLERANCE))
    assert of(made, OpenRound)
    assert not of(made, Widen)
    assert run.state.model is MODEL


def test_devices_that_measure_more_count_more() -> None:
    run = Run()
    number = run.state.round.number
    run.take(
        Arrived(1, number, update((40, 0), number=number, measured=1, trained=False)),
        Arrived(2, number, update((0, 0), number=number, measured=3, trained=False)),
    )
    assert run.state.stage is Stage.ROUND


def test_a_silent_device_holds_up_no_measurement() -> None:
    run = Run()
    number = run.state.round.number
    run.take(Arrived(1, number, update((9999, 0), number=number, trained=False)), Lost(2, "gone"))
    assert run.state.round.number == MEASUREMENT + 2
    run.take(now=10.0)
    assert run.state.stage is Stage.ROUND
    assert run.state.model.exponents == bytes([1, 0])


def test_drift_grows_the_version_that_a_round_makes() -> None:
    run = Run(ranges=replace(POLICY, before=False))
    made = run.answer((0, 9999), (0, 9999))
    [closed] = of(made, CloseRound)
    assert closed.model.exponents == bytes([0, 1])
    assert closed.model.values[:2].tolist() == [3 << 15, -5 << 15]
    texts = [(n.kind, n.text) for n in of(made, Note)]
    assert any(kind == "range" and "second" in text for kind, text in texts)
    assert any(kind == "saturated" and "three" in text for kind, text in texts)


def test_without_a_policy_clipping_is_only_told() -> None:
    run = Run(ranges=replace(POLICY, before=False, drift=False))
    made = run.answer((0, 9999), (0, 9999))
    [closed] = of(made, CloseRound)
    assert closed.model.exponents == bytes(2)
    assert "clipped" in [n.kind for n in of(made, Note)]


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (Schedule(0.5, rounds=4), [0.5] * 5),
        (Schedule(0.5, "cosine", 4), [0.5, 0.4267766952966369, 0.25, 0.07322330470336319] * 1),
        (Schedule(0.5, "step", 5, decay=0.1, every=2), [0.5, 0.5, 0.05, 0.05, 0.005]),
        (Schedule(0.5, rounds=4, warmup=1), [0.25, 0.5, 0.5, 0.5]),
    ],
)
def test_rates_follow_their_schedule(schedule: Schedule, wanted: list[float]) -> None:
    assert [schedule.at(n) for n in range(1, len(wanted) + 1)] == pytest.approx(wanted)


def test_every_round_gets_its_own_rate() -> None:
    run = Run(ranges=RangePolicy(), rates=((20000, -3), (30000, -4)))
    assert of(run.made, Assign)[0].terms.lr_mantissa == 20000
    made = run.answer((0, 0), (0, 0))
    terms = of(made, Assign)[0].terms
    assert (terms.lr_mantissa, terms.lr_exponent) == (30000, -4)


def narrow(model: bytes) -> bytes:
    """The model with first activations that reach a quarter as far, and the same real biases."""
    graph = read_model(model, "digits")
    graph = mark_ranges(graph, find_head(graph).op.outputs)
    biases = biases_of(graph)
    patches = []
    for index, tensor in enumerate(graph.tensors):
        found, data = tensor.quantization, None
        if index in biases and biases[index] == 0:
            data = tensor.data * np.int32(4)
        elif tensor.range != 0:
            continue
        scale = tuple(s / 4 for s in found.scale)
        found = replace(found, scale=scale)
        patches.append(TensorPatch(tensor.source, quantization=found, data=data))
    return patch_model(model, patches)


def test_real_devices_measure_grow_and_end_alike(digits: Config, tmp_path: Path) -> None:
    model = narrow(digits.model.path.read_bytes())
    bundle = generate(
        model,
        "digits",
        scheme=Sparse(ratio=0.5),
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        ranges=Ranges(),
    )
    bundle.write(tmp_path / "bundle")
    digests = []
    for app, fleet in (("library", VirtualFleet), ("node", NativeFleet)):
        board = load_board(paths.boards(), "native")
        image = build_image(tmp_path / "bundle", board, app, tmp_path / app)
        config = replace(
            digits,
            train=replace(digits.train, batch=1),
            rounds=replace(digits.rounds, count=2),
            run=replace(digits.run, dir=tmp_path / f"run-{app}"),
        )
        diary = Diary()
        result = execute(config, tmp_path / "bundle", fleet(image.path), diary)
        assert any("grows to 4 times" in text for text in diary.notices)
        digests.append(result.model_digest)
        with Store(config.run.dir, writing=False) as store:
            assert max(store.model(result.version).exponents) >= 2
            assert len(replay(store, result.run_id).rounds) == 2
        assert [r.clipped is not None for r in result.rounds] == [True, True]
        assert result.accuracy_after > 0.5
    assert digests[0] == digests[1]


def test_a_learning_rate_that_overflows_is_refused_by_name(
    digits: Config, digits_bundle: Path, library: Path
) -> None:
    rate = bundles.load(digits_bundle).largest_rate
    config = replace(digits, train=replace(digits.train, learning_rate=rate))
    with pytest.raises(ConfigError, match=r"train\.learning_rate = .* overflows"):
        execute(config, digits_bundle, VirtualFleet(library))
    assert not digits.run.dir.exists()


def test_at_the_largest_rate_one_step_saturates(digits_bundle: Path) -> None:
    host = bundles.load(digits_bundle)
    site, head = device_head(host.model, "digits", Loss.SOFTMAX_CROSS_ENTROPY)
    assert host.largest_rate == min(
        2 * 32512 / max(scale.real for scale in head.rate),
        2 * 2**30 / max(scale.real for scale in head.bias_rate),
    )
    assert host.largest_rate > 1
    assert site.inputs
