# SPDX-License-Identifier: Apache-2.0
"""Real autoencoders learn to give what they get, with every scheme."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, DeepScheme, Full, LastLayer, Sparse, deep_training
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan
from support.learning import learn
from support.native_model import Builder

SE, BCE = Loss.SQUARED_ERROR, Loss.BINARY_CROSS_ENTROPY
SCHEMES: dict[str, DeepScheme] = {"bias": Bias(), "sparse": Sparse(ratio=0.5), "full": Full()}
RATES = {"mlperf_ad01_int8": 3e-6, "mltk_autoencoder_int8": 0.3}
"""Such that hidden activations stay in their ranges; values of the first are 100 times larger."""
CASES = [
    ("mlperf_ad01_int8", SE),
    ("mltk_autoencoder_int8", SE),
    ("mltk_autoencoder_int8", BCE),
]


def waves(graph: Graph, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth curves of a size that the model knows, as int8 of input and output."""
    ends = (50, 110) if graph.name == "mlperf_ad01_int8" else (-100, 100)
    source, output = (graph.tensors[t] for t in (*graph.inputs, *graph.outputs))
    dice = np.random.default_rng(6)
    size = source.shape[-1]
    phase = dice.uniform(0, 6.28, (count, 1)) + np.arange(size) * 0.1
    low, high = (
        (end - source.quantization.zero_point[0]) * source.quantization.scale[0] for end in ends
    )
    real = low + (high - low) * (0.5 + 0.5 * np.sin(phase))
    made = [
        np.clip(np.round(real / t.quantization.scale[0]) + t.quantization.zero_point[0], -128, 127)
        for t in (source, output)
    ]
    return made[0].astype(np.int8), made[1].astype(np.int8)


@pytest.mark.parametrize(("name", "loss"), CASES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_losses_fall_as_in_float(shared_data: Path, name: str, loss: Loss, scheme: str) -> None:
    chosen = SCHEMES[scheme]
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    training = deep_training(chosen, chosen.adapt(model, name), name, loss)
    x, targets = waves(training.graph, 12)
    plan = LocalPlan(
        LearningRate.of(RATES[name] * (30 if scheme == "bias" else 1)), epochs=8, seed=2
    )
    network, real = training.network, training.float_network
    done = network.train(network.initial(), x, targets, plan=plan, device_id=1)
    learned = real.train(real.initial(), x, targets, plan=plan, device_id=1)
    output = training.graph.tensors[training.graph.outputs[0]].quantization
    unit = (np.log(2) if loss is BCE else output.scale[0] ** 2) / 1024
    fell = (done.losses[: len(x)].mean() - done.losses[-len(x) :].mean()) * unit
    wanted = (targets.astype(np.float64) - output.zero_point[0]) * output.scale[0]
    ends = [real.outputs(state, x) for state in (real.initial(), learned)]
    before, after = (_loss(seen, wanted, name, loss) for seen in ends)
    assert fell > 0.5 * (before - after) > 0


def _loss(seen: np.ndarray, wanted: np.ndarray, name: str, loss: Loss) -> float:
    if name == "mlperf_ad01_int8":
        return float(((seen - wanted) ** 2).mean())
    chance = 1 / (1 + np.exp(-seen.astype(np.float64)))
    if loss is SE:
        return float(((chance - wanted) ** 2).mean())
    return float(-(wanted * np.log(chance) + (1 - wanted) * np.log(1 - chance)).mean())


def test_the_device_computes_the_same(native: Builder, shared_data: Path, tmp_path: Path) -> None:
    model = (shared_data / "models" / "mltk_autoencoder_int8.tflite").read_bytes()
    _, graph, _ = split_boundary(read_model(model, "a"))
    x, targets = waves(graph, 10)
    made = {
        f"{scheme} {loss.value}": (SCHEMES[scheme], loss)
        for scheme in SCHEMES
        for loss in (SE, BCE)
    }
    bundles = {key: generate(model, key, scheme=s, loss=loss) for key, (s, loss) in made.items()}
    devices = native.load(bundles, tmp_path)
    plan = LocalPlan(LearningRate.of(0.5), epochs=3, seed=2)
    for key, (scheme, _) in made.items():
        learn(bundles[key], devices[key], scheme, x, targets, plan=plan)


@pytest.mark.parametrize(("name", "loss"), CASES, ids=str)
def test_the_last_layer_alone_trains(shared_data: Path, name: str, loss: Loss) -> None:
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    bundle = generate(model, name, scheme=LastLayer(), loss=loss, batch=4)
    assert bundle.manifest["target"] == {
        "kind": "vector",
        "bytes": bundle.program.graph.tensors[bundle.program.graph.outputs[0]].size,
    }
