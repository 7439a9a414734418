# SPDX-License-Identifier: Apache-2.0
"""Trained channels go back to where the model file has them; everything else stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fleetgrad import bundle as bundles
from fleetgrad.bundle import Segment
from fleetgrad.errors import BundleError
from fleetgrad.store.export import placed


def segment(**changes: object) -> Segment:
    plain = Segment(
        name="w", kind="weight", offset=0, count=4, tflite_offset=0, shape=(2, 2),
        tflite_shape=(3, 2), places=((2, 0), (1, 0)),
    )  # fmt: skip
    return replace(plain, **changes)


def test_rows_and_columns_return_to_their_places() -> None:
    before = np.arange(6, dtype=np.int8)
    made = placed(segment(), np.array([10, 11, 12, 13], np.int8), before.tobytes())
    assert made.tolist() == [[13, 12], [2, 3], [11, 10]]


def test_first_rows_in_their_own_order() -> None:
    before = np.arange(6, dtype=np.int8)
    plain = segment(places=(None, None))
    made = placed(plain, np.array([10, 11, 12, 13], np.int8), before.tobytes())
    assert made.tolist() == [[10, 11], [12, 13], [4, 5]]


def test_whole_tensors_are_written_as_they_are() -> None:
    values = np.array([1, 2, 3, 4], np.int8)
    assert placed(segment(places=(), tflite_shape=()), values, b"").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "places", [[[0, 3], None], [[1, 1], None], [[0], None], [None], [[-1, 0], None]]
)
def test_places_that_do_not_exist_are_refused(digits_bundle: Path, places: list[object]) -> None:
    deployed = bundles.load(digits_bundle)
    tree = json.loads(deployed.manifest)
    entry = tree["segments"][-1]
    entry["shape"], entry["tflite_shape"], entry["tflite_places"] = [2, 2], [3, 2], places
    with pytest.raises(BundleError, match="does not have"):
        bundles.parse(json.dumps(tree).encode(), deployed.initial_params, deployed.model)
