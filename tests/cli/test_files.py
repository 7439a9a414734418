# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from fleetgrad.cli.files import (
    read_array,
    refuse_to_overwrite,
    replacing,
    write_arrays,
    write_bytes,
)
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


def test_folder_is_no_array_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a file"):
        read_array(tmp_path, "x")


def test_failed_write_names_the_target_and_not_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for target in (tmp_path / "folder", tmp_path / "file" / "below.bin"):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is the system's choice
            write_bytes(target, b"content")
        assert caught.value.filename == str(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_output_may_not_overwrite_an_input(tmp_path: Path) -> None:
    source = tmp_path / "x.npz"
    refuse_to_overwrite(source, source)  # it is not there: nothing is lost
    source.touch()
    (tmp_path / "y.npz").symlink_to(source)
    refuse_to_overwrite(tmp_path / "z.npz", source)
    refuse_to_overwrite(None, source)
    with pytest.raises(UsageError, match="would overwrite an input"):
        refuse_to_overwrite(tmp_path / "y.npz", source)
