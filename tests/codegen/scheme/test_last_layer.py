# SPDX-License-Identifier: Apache-2.0
"""The last-layer scheme: what it finds, what it changes in the file, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Entry, Loss, SegmentKind
from fleetgrad_codegen.scheme import HeadSite, LastLayer, device_head, find_head
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, Parameters, train
from support.heads import (
    HEADS,
    autoencoder,
    averaged_convolution,
    dense_convolution,
    pooled_convolution,
)
from support.models import ModelBuilder, small_cnn
from support.oracle import Oracle

CE, SE = Loss.SOFTMAX_CROSS_ENTROPY, Loss.SQUARED_ERROR
DICE = 4


def _model(make=small_cnn) -> bytes:
    return make(np.random.default_rng(DICE))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("headroom", [1.0, 4.0, 5.3])
def test_wider_scales_keep_the_real_weights(name: str, headroom: float) -> None:
    model = _model(HEADS[name][0])
    old = find_head(read_model(model, "old"))
    new = find_head(read_model(LastLayer(headroom=headroom).adapt(model, "new"), "new"))
    for before, after in ((old.weights, new.weights), (old.bias, new.bias)):
        axes = (slice(None), *(None,) * (before.data.ndim - 1))
        was, now = (np.array(t.quantization.scale) for t in (before, after))
        np.testing.assert_allclose(now, was * headroom, rtol=1e-6)
        error = before.data * was[axes] - after.data * now[axes]
        assert (np.abs(error) <= 0.5001 * now[axes]).all()
    assert np.abs(new.weights.data).max() <= 127 / headroom + 0.5


def test_weights_are_rounded_to_nearest_with_ties_away_from_zero() -> None:
    model = _model()
    old = find_head(read_model(model, "old"))
    new = find_head(read_model(LastLayer(headroom=2.0).adapt(model, "new"), "new"))
    values = old.weights.data.astype(int)
    np.testing.assert_array_equal(new.weights.data, np.sign(values) * ((np.abs(values) + 1) // 2))


def test_a_headroom_of_one_leaves_every_output_as_it_was() -> None:
    model = _model()
    adapted = LastLayer(headroom=1.0).adapt(model, "m")
    x = np.random.default_rng(1).integers(-128, 128, (20, 1, 8, 8, 1), np.int8)
    for sample in x:
        before, after = (interpret(read_model(data, "m"), [sample])[0] for data in (model, adapted))
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("make", [small_cnn, pooled_convolution])
def test_logits_before_a_softmax_get_room_above(make) -> None:
    model = _model(make)
    old = find_head(read_model(model, "old")).logits.quantization
    new = find_head(read_model(LastLayer(headroom=4.0).adapt(model, "new"), "new")).logits
    reach = (127 - old.zero_point[0]) * old.scale[0]
    grown = (127 - new.quantization.zero_point[0]) * new.quantization.scale[0]
    assert grown == pytest.approx(3 * reach, rel=1e-5)


def test_outputs_without_a_softmax_keep_their_quantisation() -> None:
    model = _model(autoencoder)
    old = find_head(read_model(model, "old")).logits.quantization
    assert find_head(read_model(LastLayer().adapt(model, "new"), "new")).logits.quantization == old


@pytest.mark.parametrize("classes", [2, 3, 11])
@pytest.mark.parametrize("make", [small_cnn, pooled_convolution, averaged_convolution])
def test_a_new_head_runs_in_litert_and_starts_undecided(make, classes: int) -> None:
    adapted = LastLayer(classes=classes).adapt(_model(make), "m")
    graph = read_model(adapted, "m")
    site = find_head(graph)
    assert site.outputs == classes
    assert not site.weights.data.any()
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(1).integers(-128, 128, shape, np.int8)
    (made,) = interpret(graph, [x])
    assert made.shape == (1, classes)
    assert len(set(made.reshape(-1).tolist())) == 1
    oracle = Oracle("litert")
    try:
        np.testing.assert_array_equal(oracle.run(adapted, [x])[0], made)
    finally:
        oracle.close()


@pytest.mark.parametrize(("headroom", "room"), [(4.0, 1.0), (16.0, 4.0), (1.0, 0.25)])
def test_a_new_head_has_by_default_the_range_of_the_old_one(headroom: float, room: float) -> None:
    old = find_head(read_model(_model(), "m"))
    new = find_head(read_model(LastLayer(headroom, classes=3).adapt(_model(), "m"), "m"))
    assert new.weights.quantization.scale[0] == pytest.approx(
        room * max(old.weights.quantization.scale)
    )
    before, after = _reach(old), _reach(new)
    assert after == pytest.approx(max(1, 0.75 * room) * max(8, before))


def _reach(site: HeadSite) -> float:
    """The largest logit."""
    found = site.logits.quantization
    assert found is not None
    return (127 - found.zero_point[0]) * found.scale[0]


def test_a_seeded_new_head_is_small_and_repeatable() -> None:
    made = [LastLayer(classes=5, seed=seed).adapt(_model(), "m") for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    weights = find_head(read_model(made[0], "m")).weights.data
    assert np.abs(weights).max() == 4
    assert len(np.unique(weights)) == 9


@pytest.mark.parametrize("name", HEADS)
def test_training_starts_from_the_exported_weights(name: str) -> None:
    make, loss = HEADS[name]
    adapted = LastLayer().adapt(_model(make), "m")
    _, device, _ = split_boundary(read_model(adapted, "m"))
    training = LastLayer().prepare(device, loss, 2)
    bias, weights = training.segments
    assert (bias.kind, weights.kind) == (SegmentKind.BIAS, SegmentKind.WEIGHT)
    assert weights.offset == bias.nbytes
    np.testing.assert_array_equal(
        weights.initial, device.tensors[weights.tensor].data.astype(int) * 256
    )
    np.testing.assert_array_equal(bias.initial, device.tensors[bias.tensor].data)
    assert (training.classes == 0) == (training.target_bytes > 0)


def test_a_batch_keeps_its_rows_from_sample_to_sample() -> None:
    bundle = generate(_model(), "m", scheme=LastLayer(), loss=CE, batch=3)
    kept = {r.name for step in bundle.program.steps for r in step.regions if r.kept}
    assert kept == {"batch inputs", "batch gradients"}
    names = {s.name: s.entries for s in bundle.program.steps}
    assert names["keep"] == {Entry.ACCUMULATE}
    single = generate(_model(), "m", scheme=LastLayer(), loss=CE, batch=1)
    assert not any(r.kept for step in single.program.steps for r in step.regions)
    assert single.memory.layout.arena_bytes < bundle.memory.layout.arena_bytes


def _no_bias() -> bytes:
    made = ModelBuilder()
    x, w = made.tensor((1, 4), 0.1), made.tensor((2, 4), 0.1, data=np.ones((2, 4), np.int8))
    y = made.tensor((1, 2), 0.1)
    made.op("FULLY_CONNECTED", (x, w, -1), (y,))
    return made.build((x,), (y,))


def _wide_window() -> bytes:
    made = ModelBuilder()
    x = made.tensor((1, 3, 3, 2), 0.1)
    w = made.tensor((2, 3, 3, 2), 0.1, data=np.ones((2, 3, 3, 2), np.int8))
    b = made.tensor((2,), 0.01, dtype="int32", data=np.zeros(2, np.int32))
    y = made.tensor((1, 1, 1, 2), 0.1)
    made.op("CONV_2D", (x, w, b), (y,), padding=1, strideH=1, strideW=1)
    return made.build((x,), (y,))


def _ends_in_addition() -> bytes:
    made = ModelBuilder()
    x, y = made.tensor((1, 4), 0.1), made.tensor((1, 4), 0.2)
    made.op("ADD", (x, x), (y,))
    return made.build((x,), (y,))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_bias, ("no bias", "op 0 (FULLY_CONNECTED")),
        (_wide_window, ("3x3 window", "op 0 (CONV_2D")),
        (_ends_in_addition, ("cannot be trained", "op 0 (ADD", "FULLY_CONNECTED or 1x1 CONV_2D")),
    ],
)
def test_a_last_layer_that_cannot_be_trained_is_named(make, words: tuple[str, ...]) -> None:
    with pytest.raises(SchemeError) as caught:
        LastLayer().adapt(make(), "m")
    assert all(word in str(caught.value) for word in words)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("headroom", [0.99, 0.0, -4.0, 16.1, float("nan")])
def test_headroom_out_of_range_is_refused(headroom: float) -> None:
    with pytest.raises(SchemeError, match="headroom"):
        LastLayer(headroom=headroom)


@pytest.mark.parametrize("classes", [-1, 0, 1, 4096])
def test_too_few_or_too_many_classes_are_refused(classes: int) -> None:
    with pytest.raises(SchemeError, match="classes"):
        LastLayer(classes=classes)


@pytest.mark.parametrize(
    ("make", "loss", "batch", "words"),
    [
        (small_cnn, SE, 1, "SOFTMAX"),
        (small_cnn, Loss.NONE, 1, "needs a loss"),
        (dense_convolution, CE, 1, "9 positions"),
        (small_cnn, CE, 0, "a batch of 0"),
        (small_cnn, CE, 4097, "1 to 4096"),
        (dense_convolution, SE, 456, "1 to 455"),
    ],
)
def test_a_loss_or_batch_that_does_not_fit_is_refused(
    make, loss: Loss, batch: int, words: str
) -> None:
    with pytest.raises(SchemeError) as caught:
        generate(_model(make), "m", scheme=LastLayer(), loss=loss, batch=batch)
    assert words in str(caught.value)


def test_classes_for_a_layer_with_many_positions_are_refused() -> None:
    with pytest.raises(SchemeError, match="9 positions"):
        LastLayer(classes=3).adapt(_model(dense_convolution), "m")


def _dense(activation: int = 0, *, shape: tuple[int, ...] = (), softmax: bool = True) -> bytes:
    """Ten outputs of five inputs, reshaped, with or without a softmax."""
    made = ModelBuilder()
    dice = np.random.default_rng(DICE)
    source = made.tensor((1, 5), 0.05, -3)
    weights = made.tensor((10, 5), 0.01, data=dice.integers(-127, 128, (10, 5), np.int8))
    bias = made.tensor((10,), 0.0005, dtype="int32", data=np.zeros(10, np.int32))
    zero = -128 if activation else 3
    last = made.tensor((1, 10), 0.1, zero)
    made.op("FULLY_CONNECTED", (source, weights, bias), (last,), fusedActivationFunction=activation)
    if shape:
        flat, last = last, made.tensor(shape, 0.1, zero)
        made.op("RESHAPE", (flat,), (last,), newShape=list(shape))
    if softmax:
        logits, last = last, made.tensor(shape or (1, 10), 1 / 256, -128)
        made.op("SOFTMAX", (logits,), (last,), beta=1.0)
    return made.build((source,), (last,))


@pytest.mark.parametrize("shape", [(1, 5, 2), (1, 10, 1)])
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("classes", [None, 4])
def test_classes_that_do_not_lie_side_by_side_are_refused(
    shape: tuple[int, ...], softmax: bool, classes: int | None
) -> None:
    model = _dense(shape=shape, softmax=softmax)
    with pytest.raises(SchemeError, match="10 outputs"):
        generate(model, "m", scheme=LastLayer(classes=classes), loss=CE)


def test_outputs_of_any_shape_can_learn_numbers() -> None:
    model = _dense(shape=(1, 5, 2), softmax=False)
    bundle = generate(model, "m", scheme=LastLayer(), loss=SE)
    assert bundle.manifest["target"] == {"kind": "vector", "bytes": 10}


def test_a_new_head_under_a_relu_learns() -> None:
    site, head = device_head(LastLayer(classes=3).adapt(_dense(activation=1), "m"), "m", CE)
    start = Parameters(np.zeros((3, 5), np.int64), site.bias.data.astype(np.int64))
    labels = np.arange(30) % 3
    features = np.random.default_rng(1).integers(-9, 3, (30, 5)) + 60 * np.eye(5, dtype=int)[labels]
    plan = LocalPlan(LearningRate.of(0.05), epochs=10)
    made = train(head, start, features, labels, plan=plan, device_id=1)
    assert made.losses[-30:].mean() < 0.2 * made.losses[:3].mean()


def test_a_fused_relu6_is_refused() -> None:
    graph = read_model(_model(), "m")
    site = find_head(graph)
    options = replace(site.op.options, activation=type(site.activation).RELU6)
    op = replace(site.op, options=options)
    ops = tuple(op if i == site.position else old for i, old in enumerate(graph.ops))
    with pytest.raises(SchemeError, match="RELU6"):
        LastLayer().prepare(replace(graph, ops=ops), CE, 1)
