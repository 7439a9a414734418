# SPDX-License-Identifier: Apache-2.0
"""Adding updates to sums in C: built for this machine, with the bits of the NumPy way."""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad import paths
from fleetgrad.errors import ToolError
from fleetgrad.federation.partial import Fold, numpy_fold
from fleetgrad.toolchain.compilers import Compiler, find_host
from fleetgrad.toolchain.objects import run_tool

_FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC")
# Integers: what a core can do changes how fast they are added, and nothing else.
_TUNED = ("-march=native", "-mcpu=native", "")


class CFold:
    """`fleetgrad.federation.partial.Fold` in a shared library.

    Args:
        library: Made from firmware/host/fold.c.
    """

    def __init__(self, library: Path) -> None:
        self._raw: Any = ctypes.CDLL(str(library)).fg_fold
        self._raw.restype = None
        self._raw.argtypes = (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_char_p,
            ctypes.c_void_p,
            ctypes.c_uint32,
        )
        self._counts: tuple[int, ...] = ()
        self._array: Any = None

    def __call__(
        self,
        sums: NDArray[np.int64],
        deltas: NDArray[np.int8],
        weight: int,
        exponents: Sequence[int],
        counts: tuple[int, ...],
    ) -> None:
        """See `Fold`."""
        assert sums.flags.c_contiguous
        assert sum(counts) == sums.size == deltas.size
        if counts != self._counts:
            self._counts, self._array = counts, (ctypes.c_uint32 * len(counts))(*counts)
        source = np.ascontiguousarray(deltas)
        self._raw(
            sums.ctypes.data,
            source.ctypes.data,
            weight,
            bytes(exponents),
            self._array,
            len(counts),
        )


def find_fold(tell: Callable[[str], None]) -> Fold:
    """The quickest way to add updates that this machine has.

    Args:
        tell: Is told when that is not the C one, and why.
    """
    try:
        return CFold(build_fold(find_host(), paths.cache()))
    except ToolError as error:
        tell(f"updates are added by NumPy, at a third of the speed: {error.what}")
        return numpy_fold


def build_fold(compiler: Compiler, cache: Path) -> Path:
    """The shared library, built unless the cache has it.

    Raises:
        ToolError: It does not build, or the cache cannot be written.
    """
    source = paths.firmware() / "host" / "fold.c"
    words = " ".join((*compiler.command, compiler.identity, *_FLAGS, *_TUNED))
    name = hashlib.sha256(words.encode() + _machine().encode() + source.read_bytes()).hexdigest()
    path = cache / f"fold-{name[:32]}.so"
    if path.exists():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix="fold-", suffix=".partial", dir=cache)
        os.close(handle)
    except OSError as error:
        raise ToolError(f"the cache cannot be written: {error.strerror}", str(cache)) from error
    try:
        _compile(compiler, source, Path(temporary))
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _machine() -> str:
    """What the library is tuned for: a cache may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return repr(os.uname())
    return "\n".join(sorted({x for x in lines if x.startswith(("model name", "flags", "Feat"))}))


def _compile(compiler: Compiler, source: Path, out: Path) -> None:
    for tuned in _TUNED:
        extra = (tuned,) if tuned else ()
        command = [*compiler.command, *_FLAGS, *extra, str(source), "-o", str(out)]
        try:
            run_tool(command, f"{source.name} does not compile", str(source))
        except ToolError:
            if not tuned:
                raise
        else:
            return
