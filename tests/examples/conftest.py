# SPDX-License-Identifier: Apache-2.0
"""The example scripts as modules, and what the examples committed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


def scripts(folder: Path, *names: str) -> Iterator[list[ModuleType]]:
    """Imports scripts that find each other by their bare names, as they do when run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield [importlib.import_module(name) for name in names]


@pytest.fixture(scope="session")
def make_data(checkout: Path) -> Iterator[ModuleType]:
    """examples/digits/make_data.py."""
    for (module,) in scripts(checkout / "examples" / "digits", "make_data"):
        yield module


@pytest.fixture(scope="session")
def features(checkout: Path) -> Iterator[ModuleType]:
    """examples/keywords/features.py."""
    for (module,) in scripts(checkout / "examples" / "keywords", "features"):
        yield module


@pytest.fixture(scope="session")
def prepare(checkout: Path) -> Iterator[ModuleType]:
    """examples/keywords/prepare.py."""
    for (module,) in scripts(checkout / "examples" / "keywords", "prepare"):
        yield module


@pytest.fixture(scope="session")
def motion(checkout: Path) -> Iterator[ModuleType]:
    """examples/har/windows.py."""
    for (module,) in scripts(checkout / "examples" / "har", "windows"):
        yield module


@pytest.fixture(scope="session")
def boards(checkout: Path) -> Iterator[ModuleType]:
    """examples/har/make_boards.py."""
    for (module,) in scripts(checkout / "examples" / "har", "make_boards"):
        yield module


def load(path: Path) -> dict[str, NDArray[np.generic]]:
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


@pytest.fixture(scope="session")
def digits(checkout: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of digits.npz."""
    return load(checkout / "examples" / "digits" / "digits.npz")


@pytest.fixture(scope="session")
def factory(checkout: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of factory.npz."""
    return load(checkout / "examples" / "digits" / "factory.npz")
