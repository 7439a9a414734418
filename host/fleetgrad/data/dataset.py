# SPDX-License-Identifier: Apache-2.0
"""An .npz data set, read and checked before anything else happens.

Arrays: ``x`` samples, ``y`` labels or target vectors, ``user`` whose sample it is (one user, one
device), and optionally ``test``, which marks the held-out samples.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import DataError

ARRAYS = ("x", "y", "user", "test")


@dataclass(frozen=True)
class Dataset:
    """Arrays of equal length n.

    Attributes:
        x: Samples, n x anything, in the dtype of the file.
        y: Labels, n, integer; or target vectors, n x anything. None where the file has none.
        user: n texts; all the same where the file has no ``user``.
        test: n booleans, true for held-out samples; None where the file has no ``test``.
        source: The file, for errors.
    """

    x: NDArray[Any]
    y: NDArray[Any] | None
    user: NDArray[np.str_]
    test: NDArray[np.bool_] | None
    source: str

    @property
    def users(self) -> tuple[str, ...]:
        """Distinct users: in the order of their numbers where all are numbers, else of the text."""
        names = sorted(set(self.user.tolist()))
        if all(name.isdecimal() for name in names):
            names.sort(key=int)
        return tuple(names)


def read(path: Path) -> Dataset:
    """Reads a data set.

    Raises:
        DataError: When the file cannot be read, an array is missing or malformed, or a value is not
            finite.
    """
    arrays = _arrays(path)
    if "x" not in arrays:
        raise DataError(
            "the data set has no array x",
            where=str(path),
            expected="arrays x, y, user and optionally test",
            hint=f"it has {', '.join(sorted(arrays)) or 'none'}; numpy.savez(path, x=..., y=...)",
        )
    x = arrays["x"]
    count = len(x) if x.ndim else 0
    if count == 0:
        raise DataError("the data set has no samples", where=f"{path}: x", expected="n x shape")
    for name in ("y", "user", "test"):
        if name in arrays and (arrays[name].ndim == 0 or len(arrays[name]) != count):
            raise DataError(
                f"{name} has the shape {arrays[name].shape}",
                where=f"{path}: {name}",
                expected=f"{count} entries, one for every sample of x",
            )
    _finite(x, f"{path}: x")
    y = arrays.get("y")
    if y is not None:
        _finite(y, f"{path}: y")
    return Dataset(x, y, _users(arrays, count, path), _test(arrays, path), str(path))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DataError(
                "the data set is a single array",
                where=str(path),
                expected="an .npz file with x, y and perhaps user and test",
                hint="write it with numpy.savez",
            )
        with loaded:
            return {name: loaded[name] for name in loaded.files if name in ARRAYS}
    except DataError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot read the data set: {reason}", where=str(path)) from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            "cannot read the data set: it is not an .npz of plain arrays, or it is damaged",
            where=str(path),
            expected="an .npz file with x, y and perhaps user and test",
            hint="write it with numpy.savez",
        ) from error


def _finite(array: NDArray[Any], where: str) -> None:
    """Names the first rows that hold NaN or infinity."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
    if bad.size:
        raise DataError(
            f"{bad.size} samples hold NaN or infinity",
            where=f"{where}, {rows(bad)}",
            expected="finite numbers",
        )


def _users(arrays: dict[str, NDArray[Any]], count: int, path: Path) -> NDArray[np.str_]:
    user = arrays.get("user")
    if user is None:
        return np.full(count, "0")
    if user.ndim != 1 or user.dtype.kind not in "iuUS":
        raise DataError(
            f"user is {user.dtype} with the shape {user.shape}",
            where=f"{path}: user",
            expected="one integer or text for every sample",
        )
    if user.dtype.kind == "S":
        try:
            return np.char.decode(user, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"a user's name is no text: {error.object!r}",
                where=f"{path}: user",
                expected="UTF-8",
            ) from error
    return user.astype(np.str_)


def _test(arrays: dict[str, NDArray[Any]], path: Path) -> NDArray[np.bool_] | None:
    test = arrays.get("test")
    if test is None:
        return None
    bad = np.flatnonzero((test != 0) & (test != 1)) if test.dtype.kind in "iub" else np.arange(1)
    if test.ndim != 1 or bad.size:
        raise DataError(
            f"test is {test.dtype} with the shape {test.shape}",
            where=f"{path}: test" + (f", {rows(bad)}" if test.dtype.kind in "iu" else ""),
            expected="one boolean for every sample, true for the held-out ones",
        )
    return test.astype(np.bool_)


def rows(indices: NDArray[np.intp]) -> str:
    """The first few row numbers, for an error message."""
    shown = ", ".join(str(i) for i in indices[:5])
    return f"row{'s' if indices.size > 1 else ''} {shown}{', ...' if indices.size > 5 else ''}"
