# SPDX-License-Identifier: Apache-2.0
"""Generated models train any layers exactly as the specification, and export what they learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.gradient.network import LayerParameters, Network, State
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import (
    Bias,
    DeepScheme,
    Full,
    HeadSite,
    LastLayer,
    Lora,
    Sparse,
    deep_training,
)
from fleetgrad_codegen.scheme.deep import layers_of
from fleetgrad_codegen.training.adapter import Adapter
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan
from fleetgrad_codegen.training.update import BIAS_LIMIT, MASTER_LIMIT
from fleetgrad_codegen.verify import reference_outputs
from support.deep_models import DEEP
from support.heads import autoencoder, gate, gates, pooled_convolution
from support.learning import exported, learn
from support.native_model import Builder, NativeModel
from support.oracle import Oracle

CE, SE, BCE = Loss.SOFTMAX_CROSS_ENTROPY, Loss.SQUARED_ERROR, Loss.BINARY_CROSS_ENTROPY
NOT_FOR_CLASSES = {"autoencoder", "pooled-convolution", "gate", "gates", "gates-squared"}


@dataclass(frozen=True, slots=True)
class Shares(DeepScheme):
    """A share of the channels of every layer, depthwise convolutions included."""

    @property
    def name(self) -> str:
        return "shares"

    def ratios(self, site: HeadSite) -> dict[int, float]:
        return {place: 1.0 if place == site.position else 0.4 for place in layers_of(site)}


SCHEMES: dict[str, DeepScheme] = {
    "bias": Bias(),
    "bias-new-head": Bias(last=LastLayer(classes=3)),
    "sparse": Sparse(ratio=0.4),
    "full": Full(),
    "full-last-two": Full(layers=2),
    "shares": Shares(),
    "lora": Lora(rank=2),
}
MODELS = {name: (make, CE) for name, make in DEEP.items()}
MODELS |= {"pooled-convolution": (pooled_convolution, CE), "autoencoder": (autoencoder, SE)}
MODELS |= {"gate": (gate, BCE), "gates": (gates, BCE), "gates-squared": (gates, SE)}
CASES = [
    (model, scheme)
    for model in MODELS
    for scheme in SCHEMES
    if not (scheme == "full-last-two" and model == "pooled-convolution")
    and not (scheme == "shares" and model not in {"separable", "spectral"})
    and not (scheme == "bias-new-head" and model in NOT_FOR_CLASSES)
]

Trained = dict[tuple[str, str], tuple[Bundle, NativeModel]]


@pytest.fixture(scope="module")
def trained(native: Builder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    made = {}
    for name, scheme in CASES:
        make, loss = MODELS[name]
        model = make(np.random.default_rng(3))
        made[f"{name} {scheme}"] = generate(model, name, scheme=SCHEMES[scheme], loss=loss)
    models = native.load(made, tmp_path_factory.mktemp("deep"))
    return {case: (made[" ".join(case)], models[" ".join(case)]) for case in CASES}


@pytest.fixture(scope="module")
def litert() -> Iterator[Oracle]:
    oracle = Oracle("litert")
    yield oracle
    oracle.close()


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_round_equals_the_specification_and_exports_what_it_learned(
    trained: Trained, litert: Oracle, case: tuple[str, str]
) -> None:
    bundle, device = trained[case]
    training, graph = bundle.program.training, bundle.program.graph
    dice = np.random.default_rng(9)
    shape = graph.tensors[graph.inputs[0]].shape
    x = dice.integers(-128, 128, (14, *shape[1:]), np.int8)
    targets = dice.integers(0, training.classes or 1, len(x))
    if training.target_bytes:
        targets = dice.integers(-128, 128, (len(x), device.struct.target_bytes), np.int8)
    plan = LocalPlan(LearningRate.of(0.02), epochs=9, seed=3)
    learn(bundle, device, SCHEMES[case[1]], x, targets, plan=plan)

    model = exported(bundle, device.params.tobytes())
    for sample in x:
        output = litert.run(model, [sample[None]])[0].reshape(-1)
        np.testing.assert_array_equal(output, device.run(sample))


def test_bad_terms_change_nothing(trained: Trained) -> None:
    bundle, device = trained["residual", "sparse"]
    x = np.zeros(device.struct.input_bytes, np.int8)
    device.params[:] = np.frombuffer(bundle.files["params.bin"], np.uint8)
    device.refresh()
    assert device.accumulate(x, 0, 0)[0] == 0
    assert device.apply(1, 10000, 0, 1) == -1
    assert device.apply(2, 20000, 0, 1) == -1
    assert device.accumulate(x, 99, 0)[0] == -1
    assert device.params.tobytes() == bundle.files["params.bin"]


def test_nothing_lies_outside_the_arena_bound(trained: Trained) -> None:
    for bundle, _ in trained.values():
        layout = bundle.memory.layout
        assert layout.arena_bytes <= 1.05 * layout.lower_bound_bytes


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "rate"), [("bias", 0.02), ("sparse", 0.01), ("full", 0.01)])
def test_thousands_of_steps_on_digits(
    native: Builder, checkout: Path, tmp_path: Path, scheme: str, rate: float
) -> None:
    folder = checkout / "examples" / "digits"
    data = np.load(folder / "digits.npz", allow_pickle=False)
    model = (folder / "digits.tflite").read_bytes()
    bundle = generate(model, "digits", scheme=SCHEMES[scheme], loss=CE)
    device = native.load({"digits": bundle}, tmp_path)["digits"]
    plan = LocalPlan(LearningRate.of(rate), epochs=2, seed=1)
    labels = data["y"].astype(np.int64)
    learn(bundle, device, SCHEMES[scheme], data["x"], labels, plan=plan)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["bias-new-head", "sparse", "full"])
def test_the_keyword_model(native: Builder, shared_data: Path, tmp_path: Path, scheme: str) -> None:
    model = (shared_data / "models" / "mlperf_kws_ref_model.tflite").read_bytes()
    bundle = generate(model, "kws", scheme=SCHEMES[scheme], loss=CE)
    device = native.load({"kws": bundle}, tmp_path)["kws"]
    dice = np.random.default_rng(1)
    graph = bundle.program.graph
    x = dice.integers(-128, 128, (40, *graph.tensors[graph.inputs[0]].shape[1:]), np.int8)
    labels = dice.integers(0, 3, len(x))
    plan = LocalPlan(LearningRate.of(0.003), epochs=25, seed=1)
    learn(bundle, device, SCHEMES[scheme], x, labels, plan=plan)


def at_limits(network: Network, dice: np.random.Generator) -> State:
    """Parameters as far from the exported ones as training can lead, and some in between."""
    made = {}
    for position, found in network.initial().items():
        bias = dice.choice([-BIAS_LIMIT, BIAS_LIMIT, -(1 << 29), 0, 1 << 29], found.bias.shape)
        masters = dice.choice([-MASTER_LIMIT, MASTER_LIMIT], found.masters.shape)
        adapter = None
        if found.adapter is not None:
            factors = (found.adapter.down, found.adapter.up)
            adapter = Adapter(
                *(dice.choice([-MASTER_LIMIT, MASTER_LIMIT], f.shape) for f in factors)
            )
        made[position] = LayerParameters(bias, masters, adapter)
    return made


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_outputs_are_the_references_wherever_training_leads(
    trained: Trained, case: tuple[str, str]
) -> None:
    """Kernels are promised nothing about parameters that train but their limits."""
    bundle, device = trained[case]
    scheme, loss = SCHEMES[case[1]], MODELS[case[0]][1]
    network = deep_training(scheme, bundle.files["model.tflite"], "m", loss).network
    shape = network.graph.tensors[network.graph.inputs[0]].shape
    dice = np.random.default_rng(17)
    for _ in range(8):
        state = at_limits(network, dice)
        device.params[:] = np.frombuffer(network.vector(state), np.uint8)
        device.refresh()
        xs = [dice.choice(np.int8([-128, -1, 127]), shape) for _ in range(2)]
        wanted = reference_outputs(network.trained_graph(state), xs)
        for x, expected in zip(xs, wanted, strict=True):
            np.testing.assert_array_equal(device.run(x), expected.reshape(-1))


def test_layers_that_train_scale_as_fast_as_frozen_ones(trained: Trained) -> None:
    """Else the test above would say nothing about the quick scale."""
    for scheme in ("bias", "sparse", "full"):
        bundle, _ = trained["separable", scheme]
        assert ".quick = true" in bundle.files["model.c"].decode()
