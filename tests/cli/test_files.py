# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from fleetgrad.cli.files import read_array, replacing, write_arrays, write_bytes
from fleetgrad.errors import DataError, UsageError


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    write_bytes(target, b"old")

    def fill_the_disk() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_the_disk()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_arrays_come_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "new" / "y.npz", {"y0": np.arange(6, dtype=np.int8)})
    assert read_array(tmp_path / "new" / "y.npz", "y0").tolist() == list(range(6))


def test_missing_array_names_the_ones_there_are(tmp_path: Path) -> None:
    write_arrays(tmp_path / "y.npz", {"y0": np.zeros(1)})
    with pytest.raises(DataError, match="no array 'x'") as caught:
        read_array(tmp_path / "y.npz", "x")
    assert "y0" in caught.value.expected


def test_text_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("hello")
    with pytest.raises(DataError, match=r"not an \.npz"):
        read_array(tmp_path / "x.npz", "x")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_array(tmp_path / "x.npz", "x")
