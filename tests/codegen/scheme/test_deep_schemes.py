# SPDX-License-Identifier: Apache-2.0
"""Schemes beyond the last layer: what they choose, what they refuse, and what they suggest."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.program import Loss, SegmentKind
from fleetgrad_codegen.scheme import (
    Bias,
    DeepScheme,
    Full,
    LastLayer,
    Lora,
    Sparse,
    find_head,
    read_scheme,
)
from support.deep_models import DEEP, NONE, RELU6, Network

CE = Loss.SOFTMAX_CROSS_ENTROPY
SHA = "0" * 64
FIRMWARE = Path(__file__).resolve().parents[3] / "firmware/include/fleetgrad"


def model(name: str = "separable") -> bytes:
    return DEEP[name](np.random.default_rng(3))


def bundle_of(scheme: DeepScheme, name: str = "separable") -> Bundle:
    return generate(model(name), name, scheme=scheme, loss=CE)


def file_for(data: bytes, *layers: str) -> str:
    entries = "".join(f"\n[[layer]]\n{layer}\n" for layer in layers)
    return f'model = "{hashlib.sha256(data).hexdigest()}"\n{entries}'


@pytest.mark.parametrize("name", DEEP)
def test_biases_come_first_and_segments_have_no_gaps(name: str) -> None:
    for scheme in (Bias(), Sparse(), Full()):
        segments = bundle_of(scheme, name).program.segments
        kinds = [segment.kind for segment in segments]
        assert kinds == sorted(kinds, key=lambda kind: kind is SegmentKind.WEIGHT)
        offset = 0
        for segment in segments:
            assert segment.offset == offset
            offset += segment.nbytes


def test_bias_trains_no_weights() -> None:
    bundle = bundle_of(Bias())
    assert {segment.kind for segment in bundle.program.segments} == {SegmentKind.BIAS}
    assert bundle.manifest["shadow_bytes"] == 0


def test_a_new_last_layer_trains_whole() -> None:
    bundle = bundle_of(Bias(last=LastLayer(classes=3)))
    weights = [s for s in bundle.program.segments if s.kind is SegmentKind.WEIGHT]
    assert [segment.shape[0] for segment in weights] == [3]


def test_sparse_trains_a_share_of_channels_and_no_depthwise_weights() -> None:
    program = bundle_of(Sparse(ratio=0.5)).program
    trained = {segment.tensor: segment.shape for segment in program.segments}
    for op in program.graph.ops[:-1]:
        if op.kind == "DEPTHWISE_CONV_2D":
            assert op.inputs[1] not in trained
        elif op.kind == "CONV_2D":
            whole = program.graph.tensors[op.inputs[1]].shape
            assert trained[op.inputs[1]] == (whole[0] // 2, *whole[1:])


def test_a_file_trains_a_share_of_a_depthwise_convolution() -> None:
    data = model()
    graph = read_model(data, "m")
    depthwise = next(op for op in graph.ops if op.kind == "DEPTHWISE_CONV_2D")
    scheme = read_scheme(file_for(data, f"op = {depthwise.index}\nratio = 0.25"), "f.toml")
    bundle = generate(data, "m", scheme=scheme, loss=CE)
    (weights,) = [s for s in bundle.program.segments if s.kind is SegmentKind.WEIGHT]
    assert weights.shape == (1, 3, 3, 2)
    places = weights.places[3]
    kernel = graph.tensors[depthwise.inputs[1]]
    norms = np.linalg.norm(kernel.data.reshape(-1, 8) * np.array(kernel.quantization.scale), axis=0)
    assert places is not None
    assert set(places) == set(np.argsort(-norms)[:2].tolist())


def test_last_layers_only_and_no_error_tensor_before_them() -> None:
    few, all_of_them = bundle_of(Full(layers=2)), bundle_of(Full())
    assert len(few.program.segments) == 4
    names = [step.name for step in few.program.steps]
    assert sum(name.startswith("errors") for name in names) == 1
    assert few.manifest["cost"]["backward_macs"] < all_of_them.manifest["cost"]["backward_macs"]


def test_frozen_branches_get_no_errors() -> None:
    graph_ops = read_model(model("residual"), "r").ops
    short = next(op for op in graph_ops if op.kind == "CONV_2D" and op.index == 6)
    text = file_for(model("residual"), f"op = {short.index}\nratio = 1.0")
    names = [step.name for step in bundle_of(read_scheme(text, "f"), "residual").program.steps]
    assert sum(name.startswith("errors") for name in names) <= 6


def test_same_arguments_give_the_same_bytes() -> None:
    assert bundle_of(Sparse()).files == bundle_of(Sparse()).files


def test_a_file_names_layers_by_name_or_operator() -> None:
    data = model()
    graph = read_model(data, "m")
    convolution = next(op for op in graph.ops if op.kind == "CONV_2D")
    head = find_head(graph).op
    name = graph.tensors[convolution.outputs[0]].name
    scheme = read_scheme(
        file_for(data, f'name = "{name}"\nratio = 0.25', f"op = {head.index}\nratio = 1"), "f.toml"
    )
    bundle = generate(data, "m", scheme=scheme, loss=CE)
    layers = bundle.manifest["scheme"]["layers"]
    assert [(layer["op"], layer["channels"], layer["of"]) for layer in layers] == [
        (convolution.index, 2, 8),
        (head.index, 5, 5),
    ]


def test_a_file_may_leave_the_last_layer_alone() -> None:
    data = model()
    scheme = read_scheme(file_for(data, "op = 0\nratio = 0"), "f.toml")
    bundle = generate(data, "m", scheme=scheme, loss=CE)
    assert [segment.shape for segment in bundle.program.segments] == [(8,)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = ", ("not valid TOML",)),
        (f'model = "{SHA}"', ("no layers", "[[layer]]")),
        ("[[layer]]\nop = 1\nratio = 1", ("no model", "SHA-256")),
        (f'model = "{SHA}"\nlayers = 1', ("layers",)),
        (f'model = "{SHA}"\n[[layer]]\nop = 1', ("no ratio", "layer 1")),
        (f'model = "{SHA}"\n[[layer]]\nratio = 1', ("name or an op",)),
        (f'model = "{SHA}"\n[[layer]]\nop = 1\nname = "x"\nratio = 1', ("exactly one",)),
        (f'model = "{SHA}"\n[[layer]]\nop = "1"\nratio = 1', ("wrong type",)),
        (f'model = "{SHA}"\n[[layer]]\nop = 1\nratio = true', ("no ratio",)),
        (f'model = "{SHA}"\n[[layer]]\nop = 1\nrate = 1', ("rate", "name or op")),
    ],
)
def test_a_damaged_file_is_explained(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(SchemeError) as caught:
        read_scheme(text, "f.toml")
    assert all(word in str(caught.value) for word in ("f.toml", *words))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (("op = 99\nratio = 1",), ("op 99", "f.toml", "(op 0)")),
        (('name = "nobody"\nratio = 1',), ("nobody",)),
        (("op = 1\nratio = 1",), ("op 1",)),  # a pooling
        (("op = 0\nratio = 1", "op = 0\nratio = 0"), ("twice",)),
        (("op = 0\nratio = 1.5",), ("1.5", "to 1")),
        (("op = 9\nratio = 0.5",), ("last layer", "0 (biases only) or 1")),
    ],
)
def test_layers_that_do_not_fit_are_named(layers: tuple[str, ...], words: tuple[str, ...]) -> None:
    data = model()
    scheme = read_scheme(file_for(data, *layers), "f.toml")
    with pytest.raises(SchemeError) as caught:
        generate(data, "m", scheme=scheme, loss=CE)
    assert all(word in str(caught.value) for word in words)


def test_a_file_for_another_model_says_which_it_wants() -> None:
    scheme = read_scheme(file_for(b"another", "op = 0\nratio = 1"), "f.toml")
    with pytest.raises(SchemeError, match="another model") as caught:
        generate(model(), "m", scheme=scheme, loss=CE)
    assert hashlib.sha256(model()).hexdigest() in caught.value.expected


def test_batches_are_refused() -> None:
    with pytest.raises(SchemeError, match="batch of 2") as caught:
        generate(model(), "m", scheme=Full(), loss=CE, batch=2)
    assert "last-layer" in caught.value.hint


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01])
def test_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(SchemeError, match="ratio"):
        Sparse(ratio=ratio)


def test_lora_trains_two_thin_factors_of_each_matrix() -> None:
    bundle = bundle_of(Lora(rank=1))
    layers = {layer["op"]: layer for layer in bundle.manifest["scheme"]["layers"]}
    graph = bundle.program.graph
    adapted = [op for op in graph.ops if layers.get(op.index, {}).get("rank")]
    assert adapted
    segments = {s.name: s for s in bundle.program.segments}
    for op in adapted:
        kernel = graph.tensors[op.inputs[1]]
        assert kernel.shape[1:-1] in {(), (1, 1)}
        outputs, inputs = kernel.shape[0], kernel.shape[-1]
        assert segments[f"{kernel.name}/down"].shape == (1, inputs)
        assert segments[f"{kernel.name}/up"].shape == (outputs, 1)
    depthwise = [op for op in graph.ops if op.kind == "DEPTHWISE_CONV_2D"]
    assert all(layers[op.index]["channels"] == 0 for op in depthwise)
    head = find_head(graph)
    assert head.weights.name in segments
    assert bundle.manifest["param_bytes"] < bundle_of(Full()).manifest["param_bytes"]


def test_layers_no_larger_than_their_adapters_train_whole() -> None:
    layers = bundle_of(Lora(rank=8)).manifest["scheme"]["layers"]
    assert not any("rank" in layer for layer in layers)


@pytest.mark.parametrize("rank", [0, -1, 65])
def test_rank_out_of_range(rank: int) -> None:
    with pytest.raises(SchemeError, match="rank"):
        Lora(rank=rank)


def tower(layers: int) -> bytes:
    net = Network(np.random.default_rng(3))
    x = image = net.image(2, 2)
    for _ in range(layers - 1):
        x = net.conv(x, 2, window=1)
    return net.softmax(net.dense(net.flat(x), 3, NONE), image)


def test_as_many_tensors_train_as_devices_take() -> None:
    most = re.search(r"SEGMENTS_MAX (\d+)U", (FIRMWARE / "fg_node.h").read_text())
    assert most is not None
    layers = int(most[1]) // 2
    segments = generate(tower(layers), "t", scheme=Full(), loss=CE).program.segments
    assert len(segments) == int(most[1])
    with pytest.raises(SchemeError, match=f"{2 * layers + 4} tensors") as caught:
        generate(tower(layers + 2), "t", scheme=Full(), loss=CE)
    assert f"scheme.layers = {layers}," in caught.value.hint
    assert generate(tower(layers + 2), "t", scheme=Full(layers=layers), loss=CE).program.segments
    assert generate(tower(layers + 2), "t", scheme=Bias(), loss=CE).program.segments


def test_more_layers_than_there_are() -> None:
    with pytest.raises(SchemeError, match="9 layers") as caught:
        bundle_of(Full(layers=9))
    assert "1 to 7" in caught.value.expected


def clamping() -> bytes:
    """A pooling with a fused activation stands in the middle."""
    net = Network(np.random.default_rng(3))
    image = net.image(8, 2)
    x = net.conv(image, 4)
    made = net.tensor((1, 6, 6, 4), 0.03, -128)
    net.made.op(
        "MAX_POOL_2D", (x,), (made,), padding=1, strideH=1, strideW=1, filterHeight=3,
        filterWidth=3, fusedActivationFunction=RELU6,
    )  # fmt: skip
    x = net.conv(made, 4)
    return net.softmax(net.dense(net.flat(x), 3, NONE), image)


def test_an_operator_that_errors_cannot_pass_is_named_with_what_works() -> None:
    with pytest.raises(SchemeError, match="fused activation") as caught:
        generate(clamping(), "m", scheme=Full(), loss=CE)
    assert "MAX_POOL_2D" in caught.value.where
    assert "scheme.layers = 2" in caught.value.hint
    assert generate(clamping(), "m", scheme=Full(layers=2), loss=CE).program.segments


def test_errors_that_cannot_pass_any_hidden_layer_lead_to_the_last_one() -> None:
    net = Network(np.random.default_rng(3))
    image = net.image(4, 2)
    x = net.flat(net.conv(image, 3))
    made = net.tensor(net.shape(x), 1 / 256, -128)
    net.made.op("SOFTMAX", (x,), (made,), beta=1.0)
    data = net.softmax(net.dense(made, 3, NONE), image)
    with pytest.raises(SchemeError, match="cannot pass SOFTMAX") as caught:
        generate(data, "m", scheme=Bias(), loss=CE)
    assert "last-layer" in caught.value.hint
