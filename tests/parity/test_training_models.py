# SPDX-License-Identifier: Apache-2.0
"""Generated models train exactly as the NumPy specification says, and export what they learned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.frontend.patch import TensorPatch, patch_model
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret, run_ops
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer, device_head
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, Parameters, batches, train
from fleetgrad_codegen.training.update import shadow_of
from support.heads import HEADS
from support.native_model import Builder, NativeModel
from support.oracle import Oracle

Trained = dict[tuple[str, int, int | None], tuple[Bundle, NativeModel]]
SAMPLES = 11
DEVICE = 0x1234_5678_9ABC
CASES = [
    (name, batch, classes)
    for name, (_, loss) in HEADS.items()
    for batch in (1, 4)
    for classes in ((None, 7) if loss is Loss.SOFTMAX_CROSS_ENTROPY and batch == 1 else (None,))
]


def _bundle(name: str, batch: int, classes: int | None) -> Bundle:
    make, loss = HEADS[name]
    scheme = LastLayer(classes=classes, seed=5 if classes else None)
    model = make(np.random.default_rng(3))
    return generate(model, name, scheme=scheme, loss=loss, batch=batch)


@pytest.fixture(scope="module")
def trained(native: Builder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    bundles = {str(case): _bundle(*case) for case in CASES}
    models = native.load(bundles, tmp_path_factory.mktemp("trained"))
    return {case: (bundles[str(case)], models[str(case)]) for case in CASES}


@pytest.fixture(scope="module")
def litert() -> Iterator[Oracle]:
    oracle = Oracle("litert")
    yield oracle
    oracle.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_round_equals_the_specification_and_exports_what_it_learned(
    trained: Trained,
    litert: Oracle,
    case: tuple[str, int, int | None],
) -> None:
    bundle, device = trained[case]
    loss = HEADS[case[0]][1]
    site, head = device_head(bundle.files["model.tflite"], "m", loss)
    graph = site.graph
    dice = np.random.default_rng(9)
    x = dice.integers(-128, 128, (SAMPLES, *graph.tensors[graph.inputs[0]].shape), np.int8)
    targets = dice.integers(0, head.classes or 1, SAMPLES)
    if head.target_bytes:
        targets = dice.integers(-128, 128, (SAMPLES, head.loss_outputs), np.int8)
    features = np.stack(
        [
            run_ops(graph, graph.ops[: site.position], {graph.inputs[0]: sample})[site.op.inputs[0]]
            for sample in x
        ]
    )
    rate = LearningRate.of(0.05 if loss is Loss.SOFTMAX_CROSS_ENTROPY else 0.02)
    plan = LocalPlan(rate, epochs=6, batch=case[1], seed=3)

    start = Parameters(
        256 * site.weights.data.astype(np.int64).reshape(head.outputs, head.inputs),
        site.bias.data.astype(np.int64).reshape(-1),
    )
    wanted = train(head, start, features, targets, plan=plan, device_id=DEVICE)
    device.params[:] = np.frombuffer(bundle.files["params.bin"], np.uint8)
    device.refresh()
    losses = []
    for indices, key in batches(plan, DEVICE, SAMPLES):
        for row, index in enumerate(indices):
            target = targets[index] if head.target_bytes else int(targets[index])
            status, value, predicted, _ = device.accumulate(x[index], target, row)
            assert status == 0
            single = head.classes and head.outputs == 1
            assert predicted == (device.output[0] >= 0 if single else device.output.argmax())
            losses.append(value)
        assert device.apply(len(indices), rate.mantissa, rate.exponent, key) == 0
    np.testing.assert_array_equal(losses, wanted.losses)

    biases = 4 * head.outputs
    np.testing.assert_array_equal(device.params[:biases].view(np.int32), wanted.parameters.bias)
    masters = device.params[biases:].view(np.int16).reshape(head.outputs, head.inputs)
    np.testing.assert_array_equal(masters, wanted.parameters.masters)
    assert (masters != start.masters).any()

    weights = shadow_of(wanted.parameters.masters).astype(np.int8).reshape(site.weights.shape)
    bias = wanted.parameters.bias.astype(np.int32).reshape(site.bias.shape)
    patches = [TensorPatch(site.weights.source, data=weights)]
    patches.append(TensorPatch(site.bias.source, data=bias))
    exported = patch_model(bundle.files["model.tflite"], patches)
    learned = read_model(exported, "learned")
    for sample in x:
        device.reset()
        output = device.run(sample)
        np.testing.assert_array_equal(interpret(learned, [sample])[0].reshape(-1), output)
        np.testing.assert_array_equal(litert.run(exported, [sample])[0].reshape(-1), output)


@pytest.mark.parametrize("case", [c for c in CASES if c[1] == 4], ids=str)
def test_evaluating_does_not_disturb_a_batch(
    trained: Trained,
    case: tuple[str, int, int | None],
) -> None:
    bundle, device = trained[case]
    size = device.struct.input_bytes
    dice = np.random.default_rng(2)
    x = dice.integers(-128, 128, (3, size), np.int8)
    size = device.struct.target_bytes
    target = dice.integers(-128, 128, size, np.int8) if size else 1
    ends = []
    for disturbed in (False, True):
        device.params[:] = np.frombuffer(bundle.files["params.bin"], np.uint8)
        device.refresh()
        for row in range(2):
            assert device.accumulate(x[row], target, row)[0] == 0
        if disturbed:
            assert device.evaluate(x[2], target)[0] == 0
        assert device.apply(2, 20000, -3, 77) == 0
        ends.append(device.params.copy())
    np.testing.assert_array_equal(*ends)


def test_bad_labels_rows_and_rates_are_refused(
    trained: Trained,
) -> None:
    _, device = trained["fully-connected", 4, None]
    x = np.zeros(64, np.int8)
    assert device.accumulate(x, 3, 3)[0] == 0
    assert device.accumulate(x, 4, 0)[0] == -1
    assert device.evaluate(x, 4)[0] == -1
    assert device.accumulate(x, 0, 4)[0] == -1
    assert device.apply(0, 20000, 0, 1) == -1
    assert device.apply(5, 20000, 0, 1) == -1
    assert device.apply(1, 10000, 0, 1) == -1
