# SPDX-License-Identifier: Apache-2.0
"""The digits data set: what is committed, and the sensors that made it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[np.generic]"]
ORIGINAL_SAMPLES = 1797


def test_the_arrays_have_the_shapes_and_types_that_a_fleet_reads(digits: Arrays) -> None:
    count = len(digits["y"])
    assert digits["x"].shape == (count, 8, 8, 1)
    assert digits["x"].dtype == np.int8
    assert digits["y"].dtype == np.uint8
    assert digits["test"].dtype == np.bool_
    assert set(digits["y"]) == set(range(10))
    assert sorted(set(digits["user"])) == list(range(8))


def test_every_original_image_is_used_once_and_the_factory_saw_none_of_the_devices(
    digits: Arrays, factory: Arrays
) -> None:
    rows = np.concatenate([digits["source_row"], factory["source_row"]])
    assert sorted(rows.tolist()) == list(range(ORIGINAL_SAMPLES))


def test_every_device_holds_out_a_quarter_and_its_labels_are_skewed(
    digits: Arrays, make_data: ModuleType
) -> None:
    for device in range(8):
        mine = digits["user"] == device
        fewest, most = make_data.DEVICE_SAMPLES
        assert fewest <= mine.sum() <= most
        assert digits["test"][mine].mean() == pytest.approx(make_data.HELD_OUT, abs=0.01)
        counts = np.sort(np.bincount(digits["y"][mine], minlength=10))
        assert counts[-4:].sum() > 0.6 * counts.sum()  # 0.4 were the labels dealt evenly


def test_the_data_names_its_source_and_licence(
    digits: Arrays, factory: Arrays, make_data: ModuleType
) -> None:
    for arrays in (digits, factory):
        meta = json.loads(str(arrays["meta"]))
        assert "CC BY 4.0" in meta["attribution"]
        assert "doi:10.24432/C50P49" in meta["attribution"]
    assert len(json.loads(str(digits["meta"]))["sensors"]) == len(make_data.SENSORS)


def test_the_script_makes_the_committed_files_again(
    digits: Arrays, factory: Arrays, make_data: ModuleType
) -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    original = datasets.load_digits()
    made = make_data.build(original.images, original.target)
    for committed, again in zip((digits, factory), made, strict=True):
        assert committed.keys() == again.keys()
        for name, array in committed.items():
            np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_a_quarter_turn_is_exact_and_no_turn_changes_nothing(make_data: ModuleType) -> None:
    images = np.random.RandomState(0).random_sample((3, 8, 8))
    np.testing.assert_array_equal(make_data.rotate(images, 0.0), images)
    turned = make_data.rotate(images, 90.0)
    np.testing.assert_allclose(turned, np.rot90(images, axes=(1, 2)), atol=1e-12)


def test_blur_keeps_the_ink_of_a_stroke_away_from_the_edge(make_data: ModuleType) -> None:
    images = np.zeros((1, 8, 8))
    images[0, 3:5, 3:5] = 1.0
    blurred = make_data.blur(images, 0.5)
    assert blurred.sum() == pytest.approx(4.0)
    assert blurred.max() < 1.0


def test_a_camera_maps_blank_to_its_stray_light_and_ink_to_its_gain(make_data: ModuleType) -> None:
    page = np.stack([np.zeros((8, 8)), np.ones((8, 8))])
    camera = make_data.Sensor(gain=0.5, offset=0.2)
    blank, ink = make_data.capture(page, camera, np.random.RandomState(0))
    assert set(blank.ravel()) == {round(255 * 0.2) - 128}
    assert set(ink.ravel()) == {round(255 * 0.7) - 128}


def test_more_light_than_the_camera_takes_saturates(make_data: ModuleType) -> None:
    page = np.ones((1, 8, 8))
    seen = make_data.capture(page, make_data.Sensor(offset=0.5), np.random.RandomState(0))
    assert set(seen.ravel()) == {127}
