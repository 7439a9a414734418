# SPDX-License-Identifier: Apache-2.0
"""Operators that write over what they read, and padding that is not stored: the same outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import run_ops
from fleetgrad_codegen.ops.boundary import split_boundary
from support.deep_models import SAME, VALID, Network
from support.strategies import int8s

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder

MODELS, INPUTS = 16, 4


def chain(rng: np.random.Generator) -> bytes:
    """Layers that keep, widen and narrow pixels, shrink images, and pad them."""
    net = Network(rng)
    side, depth = int(rng.integers(9, 15)), int(rng.integers(1, 4))
    image = net.image(side, depth)
    x = net.conv(image, int(rng.integers(15, 40)), window=3)
    for _ in range(3):
        x = net.depthwise(x, window=int(rng.choice([1, 3, 5])), stride=int(rng.integers(1, 3)))
        if rng.integers(2) and net.shape(x)[1] > 4:
            x = net.pool(str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), x, 2)
        x = net.conv(x, int(rng.integers(5, 60)), window=1, padding=int(rng.choice([SAME, VALID])))
        if rng.integers(2):
            window = int(rng.choice([1, 3]))
            x = net.conv(net.pad(x), int(rng.integers(10, 40)), window=window, padding=VALID)
    return net.softmax(net.dense(net.mean(x), 4), image)


@pytest.mark.parametrize("seed", range(MODELS))
def test_outputs_are_those_of_the_file(tmp_path: Path, native: Builder, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = chain(rng)
    graph = read_model(data, "chain")
    bundle = generate(data, "chain")
    model = native.load({"chain": bundle}, tmp_path)["chain"]
    for _ in range(INPUTS):
        x = int8s(rng, graph.tensors[graph.inputs[0]].shape)
        expected = run_ops(graph, graph.ops, {graph.inputs[0]: x})[graph.outputs[0]]
        np.testing.assert_array_equal(model.run(x), expected.reshape(-1))


def test_models_do_work_in_place() -> None:
    source = "".join(
        generate(chain(np.random.default_rng(seed)), "chain").files["model.c"].decode()
        for seed in range(MODELS)
    )
    for kernel in ("fg_conv2d_in_place", "fg_depthwise_conv2d_in_place"):
        assert source.count(kernel) > MODELS // 2


def test_padding_is_folded_where_a_convolution_alone_reads_it() -> None:
    rng = np.random.default_rng(3)
    net = Network(rng)
    image = net.image(8, 3)
    padded = net.pad(net.conv(image, 6))
    read_twice = net.pad(padded)
    one = net.conv(read_twice, 4, padding=VALID)
    other = net.conv(read_twice, 4, padding=VALID)
    data = net.softmax(net.dense(net.mean(net.add(one, other)), 3), image)
    graph = read_model(data, "padded")
    _, device, _ = split_boundary(graph)
    assert [op.kind for op in graph.ops].count("PAD") == 2
    # Behind one PAD there is another one, behind that there are two convolutions.
    assert [op.kind for op in device.ops].count("PAD") == 2
    net = Network(rng)
    image = net.image(8, 3)
    x = net.conv(net.pad(net.conv(image, 6)), 5, window=3, stride=2, padding=VALID)
    data = net.softmax(net.dense(net.mean(x), 3), image)
    graph = read_model(data, "padded")
    _, device, _ = split_boundary(graph)
    assert "PAD" not in [op.kind for op in device.ops]
    x8 = int8s(rng, (1, 8, 8, 3))
    expected = run_ops(graph, graph.ops, {graph.inputs[0]: x8})[graph.outputs[0]]
    made = run_ops(device, device.ops, {device.inputs[0]: x8})[device.outputs[0]]
    np.testing.assert_array_equal(made, expected)
