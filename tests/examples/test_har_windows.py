# SPDX-License-Identifier: Apache-2.0
"""The motion example: reading the data set, turning the sensor, dealing people to boards."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

LENGTH = 700
# experiment, person, activity, first and last reading, counted from 1, last included
LABELS = (
    (1, 11, 5, 250, 250 + 128 + 64 - 1),  # standing: two windows
    (1, 11, 7, 442, 500),  # a change of posture: none
    (1, 11, 1, 501, 501 + 126),  # walking, one reading too short: none
    (2, 11, 6, 1, 128),  # lying: one window
    (3, 12, 2, 10, 300),  # upstairs: three windows
    (4, 12, 3, 10, 300),  # downstairs: three windows
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder laid out as the data set's, with readings that tell where they came from."""
    folder = tmp_path / "HAPT" / "RawData"
    folder.mkdir(parents=True)
    np.savetxt(folder / "labels.txt", LABELS, fmt="%d")
    for number, person in ((1, 11), (2, 11), (3, 12), (4, 12)):
        for kind, sign in (("acc", 1), ("gyro", -1)):
            table = sign * (number * 1000 + np.arange(LENGTH)[:, None] + np.array([0, 0.25, 0.5]))
            np.savetxt(folder / f"{kind}_exp{number:02d}_user{person:02d}.txt", table)
    return tmp_path / "HAPT"


def test_windows_start_where_a_label_does_and_none_reaches_over_its_end(
    motion: ModuleType, raw: Path
) -> None:
    windows = motion.read_source(raw)
    assert windows.x.shape == (9, 128, 6)
    assert windows.x.dtype == np.float32
    assert windows.x[:, 0, 0].tolist() == [1249, 1313, 2000, 3009, 3073, 3137, 4009, 4073, 4137]
    assert windows.x[0, 5].tolist() == [1254, 1254.25, 1254.5, -1254, -1254.25, -1254.5]
    assert windows.y.tolist() == [4, 4, 5, 1, 1, 1, 2, 2, 2]
    assert windows.person.tolist() == [11] * 3 + [12] * 6
    assert windows.recording.tolist() == [1, 1, 2, 3, 3, 3, 4, 4, 4]


def test_the_archive_gives_what_its_folder_gives(motion: ModuleType, raw: Path) -> None:
    archive = raw.parent / "hapt.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in raw.glob("RawData/*.txt"):
            made.write(path, path.relative_to(raw))
        made.writestr("Train/X_train.txt", "not a number")
    one, other = motion.read_source(raw), motion.read_source(archive)
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: (raw / "RawData/labels.txt").unlink(), "no labels.txt"),
        (lambda raw: (raw / "RawData/gyro_exp03_user12.txt").unlink(), "gyro_exp03_user12.txt"),
        (lambda raw: (raw / "RawData/acc_exp01_user11.txt").write_text("1 2\n3 4\n"), "2 columns"),
        (lambda raw: (raw / "RawData/labels.txt").write_text("1 11 7 1 600\n"), "not one window"),
    ],
)
def test_a_broken_source_is_told_by_what_is_missing(
    motion: ModuleType, raw: Path, spoil: object, message: str
) -> None:
    assert callable(spoil)
    spoil(raw)
    with pytest.raises(motion.SourceError, match=message):
        motion.read_source(raw)


def test_a_quarter_turn_moves_x_to_y_and_leaves_z(motion: ModuleType) -> None:
    x = np.random.RandomState(0).standard_normal((3, 128, 6)).astype(np.float32)
    turned = motion.turn(x, 90.0)
    for first in (0, 3):
        np.testing.assert_array_equal(turned[..., first], -x[..., first + 1])
        np.testing.assert_array_equal(turned[..., first + 1], x[..., first])
        np.testing.assert_array_equal(turned[..., first + 2], x[..., first + 2])
    np.testing.assert_array_equal(motion.turn(x, 0.0), x)
    back = motion.turn(motion.turn(x, 33.0), -33.0)
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_a_person_s_last_recording_is_held_out_whole(
    boards: ModuleType, motion: ModuleType, raw: Path
) -> None:
    windows = motion.read_source(raw)
    arrays = boards.arrange(windows, range(11, 13), 90.0)
    assert arrays["x"].shape == (9, 128, 1, 6)
    assert arrays["test"].tolist() == [False, False, True, False, False, False, True, True, True]
    wanted = motion.turn(windows.x, 90.0)
    wanted[..., 3:] /= 2.0
    np.testing.assert_array_equal(arrays["x"][:, :, 0], wanted)


def test_a_person_who_is_missing_is_named(
    boards: ModuleType, motion: ModuleType, raw: Path
) -> None:
    with pytest.raises(motion.SourceError, match="person 13 has 0 recordings"):
        boards.arrange(motion.read_source(raw), range(11, 14), 0.0)


def test_the_script_writes_what_a_fleet_reads(
    checkout: Path, shared_data: Path, tmp_path: Path
) -> None:
    command = [sys.executable, checkout / "examples" / "har" / "make_boards.py"]
    command += [shared_data / "datasets" / "uci_hapt_windows.npz", "-o", tmp_path / "har.npz"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    with np.load(tmp_path / "har.npz", allow_pickle=False) as data:
        arrays: dict[str, NDArray[np.generic]] = {name: data[name] for name in data.files}
    assert len(arrays["y"]) == 7288
    assert sorted(set(arrays["user"].tolist())) == list(range(11, 31))
    assert arrays["test"].sum() == 3583
    gravity = np.abs(arrays["x"][:, :, 0, :3].mean(axis=1)).mean(axis=0)
    assert gravity.argmax() == 1  # it was x before the sensor was turned
    assert json.loads(str(arrays["meta"]))["classes"][0] == "walking"
