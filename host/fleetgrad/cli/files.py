# SPDX-License-Identifier: Apache-2.0
"""Files that a verb reads and writes: named in every complaint, and never left half written."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fleetgrad.errors import DataError, UsageError
from fleetgrad_codegen.errors import CodegenError, FloatModelError


def read_bytes(path: Path, what: str) -> bytes:
    """Reads a whole file.

    Args:
        path: The file.
        what: What it should be, such as "model".

    Raises:
        UsageError: It is not there or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot read the {what}: {reason}", str(path), hint="check the path"
        ) from error


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Puts the file's name before what codegen says is wrong inside it, and into what to try."""
    try:
        yield
    except CodegenError as error:
        error.where = f"{path}: {error.where}" if error.where else str(path)
        if isinstance(error, FloatModelError):
            made = path.with_name(f"{path.stem}_int8.tflite")
            source, output = shlex.quote(str(path)), shlex.quote(str(made))
            error.hint = f"fleetgrad quantize {source} --data DATA.npz -o {output}"
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` that takes its place when all went well.

    Yields:
        The path to write to. It is renamed to `path` at the end, or removed after an exception.

    Raises:
        OSError: It cannot be written; names `path`.
    """
    temporary: Path | None = None
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # not the temporary name
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def refuse_to_overwrite(output: Path | None, *sources: Path) -> None:
    """Keeps a verb from writing its result over what it was made from.

    Args:
        output: Where the result goes; None for nowhere.
        sources: What the verb reads.

    Raises:
        UsageError: They are the same file.
    """
    for source in sources:
        if output is not None and output.exists() and source.exists() and output.samefile(source):
            raise UsageError(
                "the output would overwrite an input", str(output), hint="another name with -o"
            )


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file, or leaves what was there."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a whole text file as UTF-8, or leaves what was there."""
    write_bytes(path, content.encode())


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes an .npz, or leaves what was there."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]


def read_array(path: Path, key: str) -> npt.NDArray[Any]:
    """Reads one array of an .npz.

    Raises:
        UsageError: The file cannot be read.
        DataError: It is no .npz, or has no such array.
    """
    if not path.is_file():
        what = "not a file" if path.exists() else "no such file"
        raise UsageError(what, str(path), hint="check the path")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if key not in archive:
                raise DataError(
                    f"there is no array {key!r}", str(path), f"one of {sorted(archive)}"
                )
            return np.asarray(archive[key])
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, TypeError) as error:
        raise DataError(
            "not an .npz of plain arrays", str(path), hint="write it with numpy.savez"
        ) from error


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
