# SPDX-License-Identifier: Apache-2.0
"""Data sets: what is read, split and quantised, and what is refused in which words."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad import bundle as bundles
from fleetgrad.bundle import Bundle, TensorSpec
from fleetgrad.config import DataConfig
from fleetgrad.data import DeviceData, partition, quantise_input, read, write_image
from fleetgrad.errors import BundleError, DataError
from support.federation import CLASSES, FEATURES, manifest, write_bundle, write_data


def bundle(tmp_path: Path, **changes: Any) -> Bundle:
    return bundles.load(write_bundle(tmp_path / "bundle", **changes))


def split(
    tmp_path: Path, config: DataConfig | None = None, devices: int = 0, **arrays: Any
) -> tuple[DeviceData, ...]:
    data = read(write_data(tmp_path / "d.npz", **arrays))
    return partition(data, config or DataConfig(), bundle(tmp_path), devices=devices)


# --- Splitting -----------------------------------------------------------------------------------


def test_every_user_becomes_one_device_in_numeric_order(tmp_path: Path) -> None:
    user = np.repeat([10, 9, 2, 1], 12)
    assert [(d.device, d.name) for d in split(tmp_path, user=user)] == [
        (1, "1"),
        (2, "2"),
        (3, "9"),
        (4, "10"),
    ]


def test_no_sample_is_lost_or_shared_between_training_and_held_out(tmp_path: Path) -> None:
    parts = split(tmp_path)
    assert [(len(p.train_x), len(p.eval_x)) for p in parts] == [(9, 3)] * 4
    spec = bundle(tmp_path).input
    whole = quantise_input(read(tmp_path / "d.npz").x, spec, where="x")
    for part, start in zip(parts, range(0, 48, 12), strict=True):
        rows = sorted(r.tobytes() for r in np.vstack([part.train_x, part.eval_x]))
        assert rows == sorted(r.tobytes() for r in whole[start : start + 12])


def test_split_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    first = split(tmp_path)
    again = split(tmp_path, devices=2)  # other users change nothing for this one
    other = split(tmp_path, DataConfig(seed=1))
    assert (first[0].eval_x == again[0].eval_x).all()
    assert any((a.eval_x != b.eval_x).any() for a, b in zip(first, other, strict=True))


def test_test_column_decides_what_is_held_out(tmp_path: Path) -> None:
    test = np.tile([True] + [False] * 11, 4)
    assert [(len(p.train_x), len(p.eval_x)) for p in split(tmp_path, test=test)] == [(11, 1)] * 4


def test_limit_takes_fewer_samples_of_every_user(tmp_path: Path) -> None:
    parts = split(tmp_path, DataConfig(limit=8))
    assert {len(p.train_x) + len(p.eval_x) for p in parts} == {8}


def test_user_whose_samples_are_all_held_out_is_an_empty_device(tmp_path: Path) -> None:
    test = np.repeat([True, False, False, False], 12)
    parts = split(tmp_path, test=test)
    assert [p.empty for p in parts] == [True, False, False, False]


def test_data_without_users_is_one_device(tmp_path: Path) -> None:
    assert [p.name for p in split(tmp_path, user=None)] == ["0"]


@pytest.mark.parametrize(
    ("config", "devices", "message"),
    [
        (DataConfig(users=("0", "77")), 0, r"user 77 has no samples(?s:.)*one of 0, 1, 2, 3"),
        (DataConfig(users=("0", "0")), 0, r"named twice"),
        (DataConfig(), 9, r"9 devices, but only 4 users"),
        (DataConfig(target="input"), 0, r"needs a model that learns vectors"),
    ],
)
def test_impossible_choice_of_users_is_named(
    tmp_path: Path, config: DataConfig, devices: int, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        split(tmp_path, config, devices)
    assert caught.value.exit_code == 2


def test_no_training_sample_anywhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no device has a sample"):
        split(tmp_path, test=np.ones(48, bool))


# --- Reading -------------------------------------------------------------------------------------


def changed(
    rows: dict[int, float], shape: tuple[int, ...] = (48, FEATURES)
) -> np.ndarray[Any, Any]:
    x = np.zeros(shape, np.float32)
    for row, value in rows.items():
        x[row, 0] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": None}, r"no array x(?s:.)*it has user, y"),
        ({"x": np.zeros((0, FEATURES), np.float32)}, r"no samples"),
        ({"y": np.zeros(47, int)}, r"y has the shape \(47,\)(?s:.)*48 entries"),
        ({"x": changed({3: np.nan, 40: np.inf})}, r"2 samples hold NaN(?s:.)*rows 3, 40"),
        ({"user": np.zeros(48)}, r"user is float64"),
        ({"user": np.array([b"\xff"] * 48)}, r"a user's name is no text(?s:.)*UTF-8"),
        ({"test": np.full(48, 2)}, r"test is int64"),
        ({"y": None}, r"no array y"),
        ({"x": np.zeros((48, 9), np.float32)}, r"a sample has the shape \(9,\)(?s:.)*\(8,\)"),
        ({"x": np.zeros((48, FEATURES), np.int16)}, r"samples are int16(?s:.)*real units"),
        ({"x": np.zeros((48, FEATURES), np.int8)}, r"samples are int8"),
        ({"y": np.zeros(48)}, r"labels are float64"),
        (
            {"y": np.array([0] * 40 + [-1] + [0] * 6 + [3])},
            r"2 labels(?s:.)*rows 40, 47(?s:.)*0 to 2",
        ),
    ],
)
def test_invalid_array_names_array_and_rows(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        split(tmp_path, **arrays)
    assert "d.npz" in caught.value.where


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY", b"not a data set at all"]
)
def test_file_that_is_no_data_set_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot read the data set"):
        read(path)


def test_truncated_data_set_is_refused(tmp_path: Path) -> None:
    path = write_data(tmp_path / "d.npz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read the data set"):
        read(path)


def test_damaged_compressed_data_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.arange(4096, dtype=np.float32))
    for position in range(100, 2000, 100):
        content = bytearray(path.read_bytes())
        content[position : position + 8] = b"\xff" * 8
        damaged = tmp_path / "damaged.npz"
        damaged.write_bytes(content)
        with pytest.raises(DataError, match="cannot read the data set"):
            read(damaged)


def test_single_array_is_no_data_set(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, FEATURES), np.float32))
    with pytest.raises(DataError, match=r"a single array(?s:.)*savez"):
        read(tmp_path / "x.npy")


def test_missing_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read(tmp_path / "none.npz")


def test_data_set_of_python_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, x=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="cannot read the data set"):
        read(path)


# --- Quantising ----------------------------------------------------------------------------------

SPEC = TensorSpec((1, 4), "int8", float(np.float32(0.1)), -3, "float32")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, -3), (0.05, -2), (-0.05, -4), (0.15, -1), (99.0, 127), (-99.0, -128), (1e38, 127)],
)
def test_real_numbers_are_rounded_half_away_from_zero(value: float, expected: int) -> None:
    x = np.full((1, 4), value, np.float32)
    assert quantise_input(x, SPEC, where="x").tolist() == [[expected] * 4]


@settings(deadline=None)
@given(st.lists(st.floats(-40, 40, width=32), min_size=4, max_size=4))
def test_quantising_is_the_operator_of_the_model_format(values: list[float]) -> None:
    x = np.array([values], np.float32)
    ratio = x / np.float32(SPEC.scale)  # float32, as TFLite's reference kernel divides
    nearest = [int(np.trunc(float(r) + np.copysign(0.5, float(r)))) for r in ratio[0]]
    expected = [max(-128, min(127, n + SPEC.zero_point)) for n in nearest]
    assert quantise_input(x, SPEC, where="x").tolist() == [expected]


def test_bytes_pass_where_the_model_takes_bytes() -> None:
    spec = TensorSpec((1, 4), "int8", 0.1, -3, "int8")
    x = np.arange(-2, 2, dtype=np.int8).reshape(1, 4)
    assert (quantise_input(x, spec, where="x") == x).all()


def test_unsigned_bytes_pass_where_the_model_takes_those() -> None:
    spec = TensorSpec((1, 4), "int8", 0.1, -3, "uint8")
    x = np.array([[0, 127, 128, 255]], np.uint8)
    assert quantise_input(x, spec, where="x").tolist() == [[-128, -1, 0, 127]]


def test_axes_of_length_one_may_be_missing() -> None:
    spec = TensorSpec((1, 2, 2, 1), "int8", 1.0, 0, "float32")
    x = np.ones((3, 2, 2), np.float32)
    assert quantise_input(x, spec, where="x").shape == (3, 4)


# --- Images --------------------------------------------------------------------------------------


def test_image_has_the_bytes_of_the_specification(tmp_path: Path) -> None:
    part = split(tmp_path)[1]
    image = write_image(part, boot_base=512, input_tag=b"abcdefgh")
    fields = struct.unpack_from("<IHHQIIIB3xII8sI8xI", image)
    payload = image[64:]
    assert fields[:5] == (0x49444746, 1, 64, 2, 512)
    assert fields[5:10] == (FEATURES, 1, 1, 9, 3)
    assert fields[10:12] == (b"abcdefgh", zlib.crc32(payload))
    assert fields[12] == zlib.crc32(image[:60])
    assert payload == b"".join(
        a.tobytes() for a in (part.train_x, part.train_y, part.eval_x, part.eval_y)
    )


def test_many_classes_take_two_bytes_for_a_label(tmp_path: Path) -> None:
    output = {**manifest()["output"], "classes": 300, "shape": [1, 300]}
    data = read(write_data(tmp_path / "d.npz", y=np.full(48, 299)))
    part = partition(data, DataConfig(), bundle(tmp_path, output=output))[0]
    assert part.train_y[0].tolist() == [299 & 0xFF, 299 >> 8]


def test_vector_targets_are_quantised_as_the_output(tmp_path: Path) -> None:
    y = np.zeros((48, CLASSES), np.float32)
    y[:, 1] = 0.3
    made = bundle(tmp_path, loss="squared_error", target={"kind": "vector", "bytes": CLASSES})
    part = partition(read(write_data(tmp_path / "d.npz", y=y)), DataConfig(), made)[0]
    assert part.target_kind == 2
    assert part.train_y[0].view(np.int8).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("scale", "kind", "size"), [(0.5, 3, 0), (0.25, 2, FEATURES)])
def test_target_input_stores_it_only_where_the_quantisation_differs(
    tmp_path: Path, scale: float, kind: int, size: int
) -> None:
    output = {**manifest()["output"], "shape": [1, FEATURES], "scale": scale, "zero_point": -3}
    made = bundle(
        tmp_path,
        output=output,
        loss="squared_error",
        target={"kind": "vector", "bytes": FEATURES},
    )
    part = partition(read(write_data(tmp_path / "d.npz")), DataConfig(target="input"), made)[0]
    assert (part.target_kind, part.train_y.shape[1]) == (kind, size)
    if size:
        real = (part.train_x[0].astype(float) + 3) * 0.5
        back = (part.train_y[0].view(np.int8).astype(float) + 3) * scale
        assert np.abs(real - back)[np.abs(real) < 25].max() <= 0.5


# --- Bundles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"manifest format 2(?s:.)*format 1"),
        ({"digest": "ab"}, r"digest of 1 bytes"),
        ({"digest": "zz"}, r"not a usable manifest"),
        ({"param_bytes": 61}, r"param_bytes is 61"),
        ({"segments": []}, r"param_bytes is 60"),
        ({"segments": 3}, r"not a usable manifest"),
        ({"loss": None, "target": {}}, r"lacks 'kind'"),
    ],
)
def test_unusable_manifest_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        bundle(tmp_path, **changes)


@pytest.mark.parametrize("name", ["manifest.json", "params.bin", "model.tflite"])
def test_incomplete_bundle_names_the_file(tmp_path: Path, name: str) -> None:
    (write_bundle(tmp_path / "bundle") / name).unlink()
    with pytest.raises(BundleError, match=f"no readable {name}"):
        bundles.load(tmp_path / "bundle")
