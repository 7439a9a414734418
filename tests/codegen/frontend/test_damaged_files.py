# SPDX-License-Identifier: Apache-2.0
"""Files that are cut, garbled, or something else altogether: one kind of error, quickly."""

from __future__ import annotations

import contextlib
import random
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad_codegen.errors import CodegenError, FloatModelError, ModelFormatError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret
from support.models import small_cnn

if TYPE_CHECKING:
    from pathlib import Path

MODEL = small_cnn(np.random.default_rng(0))


def test_the_undamaged_model_reads() -> None:
    graph = read_model(MODEL, "small")
    assert [op.kind for op in graph.ops] == [
        "CONV_2D",
        "MAX_POOL_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]


def test_truncation_at_every_byte_is_reported() -> None:
    for length in range(len(MODEL)):
        with pytest.raises(ModelFormatError):
            read_model(MODEL[:length], "cut")


@pytest.mark.parametrize(
    "name", ["mlperf_kws_ref_model", "mltk_magic_wand_int8", "tflm_person_detect"]
)
def test_truncation_of_real_models_is_reported(shared_data: Path, name: str) -> None:
    data = (shared_data / "models" / f"{name}.tflite").read_bytes()
    cuts = {0, 1, 4, 7, 8, 9, *range(len(data) - 64, len(data))}
    cuts |= set(random.Random(3).sample(range(len(data)), 200))
    for length in sorted(cuts):
        with pytest.raises(ModelFormatError):
            read_model(data[:length], "cut")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(position=st.integers(0, len(MODEL) - 1), value=st.integers(0, 255))
def test_a_flipped_byte_never_surprises(position: int, value: int) -> None:
    damaged = bytearray(MODEL)
    damaged[position] = value
    try:
        graph = read_model(bytes(damaged), "flipped")
    except CodegenError:
        return
    inputs = [np.zeros(graph.tensors[i].shape, graph.tensors[i].dtype.numpy) for i in graph.inputs]
    interpret(graph, inputs)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    position=st.integers(0, len(MODEL) // 4 - 1),
    value=st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0x1000000]),
)
def test_a_wild_offset_or_length_never_surprises(position: int, value: int) -> None:
    damaged = bytearray(MODEL)
    struct.pack_into("<I", damaged, 4 * position, value)
    with contextlib.suppress(CodegenError):
        read_model(bytes(damaged), "wild")


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 8, b"TFL3", b"PK\3\4" + bytes(100), b"{}" * 50],
    ids=["empty", "zeros", "short", "zip", "json"],
)
def test_what_is_no_tflite_file_is_called_so(data: bytes) -> None:
    with pytest.raises(ModelFormatError) as caught:
        read_model(data, "other")
    message = str(caught.value)
    assert "not a .tflite file" in message or "empty" in message
    assert "TFLiteConverter" in message


@pytest.mark.parametrize(
    "data",
    [b"\x89HDF\r\n\x1a\n" + bytes(64), b"PK\3\4" + bytes(60) + b"model.weights.h5"],
    ids=["h5", "keras"],
)
def test_model_of_keras_is_named_with_the_command_that_quantises_it(data: bytes) -> None:
    with pytest.raises(FloatModelError, match=r"float model of Keras(?s:.)*fleetgrad quantize"):
        read_model(data, "other")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(tail=st.binary(max_size=300))
def test_noise_behind_the_identifier_is_reported(tail: bytes) -> None:
    with pytest.raises(CodegenError):
        read_model(b"\x08\0\0\0TFL3" + tail, "noise")
