# SPDX-License-Identifier: Apache-2.0
"""A device with grown scales computes and learns what the exported model file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from fleetgrad import bundle as bundles
from fleetgrad.federation.model import GROWTH_LIMIT, GlobalModel, from_vector
from fleetgrad.store import export, layout_of
from fleetgrad_codegen.bundle import Bundle, Ranges, Scheme, generate
from fleetgrad_codegen.frontend.patch import patch_model
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops import run_ops
from fleetgrad_codegen.ops.growth import MOST_GROWTH
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.ranges import grow, grown_patches, mark_ranges
from fleetgrad_codegen.scheme import Bias, Full, LastLayer, Lora, Sparse
from fleetgrad_codegen.scheme.site import find_head
from support.deep_models import DEEP, NONE, RELU6
from support.heads import autoencoder
from support.native_model import Builder, NativeModel
from support.oracle import Oracle

PRODUCERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MEAN"}
CE, SE = Loss.SOFTMAX_CROSS_ENTROPY, Loss.SQUARED_ERROR
SCHEMES: dict[str, Scheme] = {
    "last-layer": LastLayer(),
    "bias": Bias(),
    "sparse": Sparse(ratio=0.4),
    "full": Full(),
    "lora": Lora(rank=2),
}
MODELS = {name: (make, CE) for name, make in DEEP.items()}
MODELS |= {"autoencoder": (autoencoder, SE)}
CASES = [(model, scheme) for model in MODELS for scheme in SCHEMES]

Deployed = dict[tuple[str, str], tuple[Bundle, NativeModel]]


@pytest.fixture(scope="module")
def deployed(native: Builder, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    made = {}
    for name, scheme in CASES:
        make, loss = MODELS[name]
        model = make(np.random.default_rng(3))
        made[f"{name} {scheme}"] = generate(
            model, name, scheme=SCHEMES[scheme], loss=loss, ranges=Ranges()
        )
    models = native.load(made, tmp_path_factory.mktemp("ranges"))
    return {case: (made[" ".join(case)], models[" ".join(case)]) for case in CASES}


@pytest.fixture(scope="module")
def litert() -> Iterator[Oracle]:
    oracle = Oracle("litert")
    yield oracle
    oracle.close()


class Frozen:
    """A scheme for a file that is adapted already."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self.prepare = scheme.prepare

    def adapt(self, model: bytes, name: str) -> bytes:
        return model


def on_host(bundle: Bundle) -> bundles.Bundle:
    files = bundle.files
    return bundles.parse(files["manifest.json"], files["params.bin"], files["model.tflite"])


def grown(bundle: Bundle, exponents: bytes) -> GlobalModel:
    host = on_host(bundle)
    return from_vector(layout_of(host), host.initial_params).grown(exponents)


def some_exponents(count: int, dice: np.random.Generator) -> bytes:
    return bytes(dice.integers(0, MOST_GROWTH + 1, count, np.uint8))


def samples(bundle: Bundle, dice: np.random.Generator, count: int) -> np.ndarray:
    graph = bundle.program.graph
    shape = graph.tensors[graph.inputs[0]].shape
    return dice.integers(-128, 128, (count, *shape[1:]), np.int8)


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_grown_device_computes_and_learns_what_its_export_does(
    native: Builder,
    deployed: Deployed,
    litert: Oracle,
    tmp_path: Path,
    case: tuple[str, str],
) -> None:
    """The other device is generated from the exported file: its scales are constants."""
    bundle, device = deployed[case]
    scheme, loss = SCHEMES[case[1]], MODELS[case[0]][1]
    host, dice = on_host(bundle), np.random.default_rng(5)
    count = len(bundle.program.ranges)
    assert count
    for exponents in (bytes(count), bytes([MOST_GROWTH] * count), some_exponents(count, dice)):
        model = grown(bundle, exponents)
        file = export(host, model)
        plain = generate(file, "plain", scheme=Frozen(scheme), loss=loss)
        other = native.load({"plain": plain}, tmp_path / exponents.hex())["plain"]
        device.params[:] = np.frombuffer(model.vector(), np.uint8)
        device.refresh()
        # Masters have bits that a file has not.
        other.params[:] = device.params[: other.params.size]
        other.refresh()
        x = samples(bundle, dice, 4)
        for sample in x:
            output = device.run(sample)
            np.testing.assert_array_equal(litert.run(file, [sample[None]])[0].reshape(-1), output)
            np.testing.assert_array_equal(other.run(sample), output)
        for key in range(25):
            sample = x[key % len(x)]
            target: int | np.ndarray = key % 3
            if loss is SE:
                target = dice.integers(-128, 128, device.struct.target_bytes, np.int8)
            results = [one.accumulate(sample, target, 0) for one in (device, other)]
            assert results[0] == results[1]
            for one in (device, other):
                assert one.apply(1, 20000, -5, key) == 0
            np.testing.assert_array_equal(device.params[: other.params.size], other.params)
        assert device.params[: other.params.size].tobytes() != model.vector()[: other.params.size]
        assert device.params[other.params.size :].tobytes() == exponents


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_outputs_cut_off_by_their_range_are_counted(
    deployed: Deployed, case: tuple[str, str]
) -> None:
    bundle, device = deployed[case]
    graph, dice = bundle.program.graph, np.random.default_rng(8)
    count = len(bundle.program.ranges)
    for exponents in (bytes(count), bytes([1] * count)):
        device.params[:] = np.frombuffer(grown(bundle, exponents).vector(), np.uint8)
        device.refresh()
        x = samples(bundle, dice, 3)
        wanted = np.zeros(count, np.int64)
        for measures in (False, True):
            device.measures = measures
            np.testing.assert_array_equal(device.clipped, wanted)
            for sample in x:
                device.run(sample)
        device.measures = False
        for sample in x:
            values = run_ops(grow(graph, exponents), graph.ops, {graph.inputs[0]: sample[None]})
            for op in graph.ops:
                wanted += cut_off(graph, op, values, count)
        np.testing.assert_array_equal(device.clipped, wanted)
        assert wanted.any() or exponents[0] or case[0] in {"autoencoder", "gated"}


def cut_off(graph: Graph, op: Op, values: Mapping[int, np.ndarray], count: int) -> np.ndarray:
    """By range: outputs of one operator at an end of int8 that no activation has put there."""
    found = np.zeros(count, np.int64)
    place = graph.tensors[op.outputs[0]].range
    if place is not None and op.kind in PRODUCERS:
        made, activation = values[op.outputs[0]], getattr(op.options, "activation", NONE)
        found[place] = (made == 127).sum() if activation != RELU6 else 0
        found[place] += (made == -128).sum() if activation == NONE else 0
    return found


def test_both_sides_know_how_far_scales_grow(checkout: Path) -> None:
    header = (checkout / "firmware/include/fleetgrad/fg_model.h").read_text()
    assert f"#define FG_RANGE_MAX {MOST_GROWTH}\n" in header
    assert MOST_GROWTH == GROWTH_LIMIT


@pytest.mark.parametrize("scheme", SCHEMES)
def test_host_and_generator_write_the_same_grown_file(deployed: Deployed, scheme: str) -> None:
    bundle, _ = deployed["residual", scheme]
    file = bundle.files["model.tflite"]
    graph = read_model(file, "m")
    graph = mark_ranges(graph, find_head(graph).op.outputs)
    exponents = some_exponents(len(bundle.program.ranges), np.random.default_rng(4))
    ours = read_model(patch_model(file, grown_patches(graph, exponents)), "m")
    hosts = read_model(export(on_host(bundle), grown(bundle, exponents)), "m")
    for one, other in zip(ours.tensors, hosts.tensors, strict=True):
        assert one.quantization == other.quantization
        if one.data is not None:
            np.testing.assert_array_equal(one.data, other.data)


def test_front_layers_can_be_widened_for_good(native: Builder, tmp_path: Path) -> None:
    make, loss = MODELS["separable"]
    model, scheme = make(np.random.default_rng(3)), Full(layers=2)
    plain = generate(model, "m", scheme=scheme, loss=loss, ranges=Ranges())
    wide = generate(model, "m", scheme=scheme, loss=loss, ranges=Ranges(grow=False, front=1))
    assert not wide.program.ranges
    first, graph = min(wide.program.training.tape.layers), plain.program.graph
    front = {graph.tensors[op.outputs[0]].range for op in graph.ops[:first]} - {None}
    count = len(plain.program.ranges)
    assert 0 < len(front) < count
    exponents = bytes(int(place in front) for place in range(count))
    devices = native.load({"plain": plain, "wide": wide}, tmp_path)
    devices["plain"].params[:] = np.frombuffer(grown(plain, exponents).vector(), np.uint8)
    devices["plain"].refresh()
    for sample in samples(plain, np.random.default_rng(2), 5):
        np.testing.assert_array_equal(*(device.run(sample) for device in devices.values()))
