# SPDX-License-Identifier: Apache-2.0
"""Devices compare their targets with what the model learns from, and report losses that fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fleetgrad.boards import Board
from fleetgrad.data.image import write_image
from fleetgrad.data.partition import INPUT, LABEL, VECTOR, DeviceData
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.messages import ErrorCode, UpdateHeader
from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.gradient.network import Progress
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Full, deep_training
from fleetgrad_codegen.training.fixed_point import LearningRate
from support.fake_model import Terms
from support.heads import autoencoder, gate, gates
from support.native_node import NativeNode
from support.node_host import Host, round_open

BCE, SE = Loss.BINARY_CROSS_ENTROPY, Loss.SQUARED_ERROR
MODELS: dict[str, tuple[Callable[[np.random.Generator], bytes], Loss]] = {
    "gate": (gate, BCE),
    "gates": (gates, BCE),
    "autoencoder": (autoencoder, SE),
    "gates-squared": (gates, SE),
}
SAMPLES = 4
Built = tuple[Bundle, Library]


def image_of(kind: int, targets: np.ndarray) -> bytes:
    x = np.random.default_rng(3).integers(-128, 128, (SAMPLES, 9), np.int8)
    y = targets.view(np.uint8).reshape(SAMPLES, -1)
    return write_image(DeviceData(7, "seven", x, y, x, y, kind), boot_base=0)


LABELS = np.array([0, 1, 1, 0], np.uint8)
FAR = np.tile(np.array([[30], [-40]], np.int8), (SAMPLES // 2, 9))
IMAGES = {
    "labels": image_of(LABEL, LABELS),
    "a third label": image_of(LABEL, LABELS * 2),
    "vectors": image_of(VECTOR, FAR),
    "single values": image_of(VECTOR, FAR[:, :1].copy()),
    "inputs": image_of(INPUT, np.zeros((SAMPLES, 0), np.int8)),
}


@pytest.fixture(scope="module")
def built(native_board: Board, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    made = {}
    for name, (make, loss) in MODELS.items():
        folder: Path = tmp_path_factory.mktemp(name)
        bundle = generate(make(np.random.default_rng(1)), name, scheme=Full(), loss=loss)
        bundle.write(folder / "bundle")
        image = build_image(folder / "bundle", native_board, "library", folder)
        made[name] = bundle, Library(image.path)
    return made


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("gate", {"labels"}),
        ("gates", {"vectors", "inputs"}),
        ("autoencoder", {"vectors", "inputs"}),
    ],
)
def test_only_targets_of_the_right_kind_are_accepted(
    built: dict[str, Built], name: str, fits: set[str]
) -> None:
    for kind, image in IMAGES.items():
        host = Host(NativeNode(built[name][1], image))
        host.settle()
        problem = host.greet().problem
        assert problem == (0 if kind in fits else ErrorCode.BAD_IMAGE), kind


@pytest.mark.parametrize(("name", "kind"), [("gate", "labels"), ("gates-squared", "vectors")])
def test_losses_arrive_in_the_unit_of_their_kind(
    built: dict[str, Built], name: str, kind: str
) -> None:
    bundle, library = built[name]
    loss = MODELS[name][1]
    host = Host(NativeNode(library, IMAGES[kind]))
    host.settle()
    host.greet()
    params = bundle.files["params.bin"]
    opened = round_open(Terms(train=False), params, bundle.digest[:8])
    blob = host.collect(host.send(opened, *host.chunks(params)))

    network = deep_training(Full(), bundle.files["model.tflite"], name, loss).network
    start, rate = Progress(network.initial(), {}), LearningRate.of(0.01)
    x = np.random.default_rng(3).integers(-128, 128, (SAMPLES, 9), np.int8)
    targets = LABELS.astype(np.int64) if name == "gate" else FAR
    total = sum(network.step(start, *pair, rate, 0)[1] for pair in zip(x, targets, strict=True))
    if loss is SE:
        assert total > SAMPLES * 65535  # it would not fit
        total = (total + 128) >> 8
    assert UpdateHeader.unpack(blob).eval_loss == (total + SAMPLES // 2) // SAMPLES
