# SPDX-License-Identifier: Apache-2.0
"""Interpreters to compare with."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from support.oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def litert() -> Iterator[Oracle]:
    """LiteRT with its reference kernels."""
    oracle = Oracle("litert")
    yield oracle
    oracle.close()


@pytest.fixture(scope="session")
def tflm() -> Iterator[Oracle]:
    """TFLite Micro; skips where the package is missing (it exists for few platforms)."""
    if importlib.util.find_spec("tflite_micro") is None:
        pytest.skip("the package tflite-micro is not installed")
    oracle = Oracle("tflm")
    yield oracle
    oracle.close()


@pytest.fixture(scope="session")
def interpreters(litert: Oracle, request: pytest.FixtureRequest) -> tuple[Oracle, ...]:
    """LiteRT, and TFLite Micro where it is installed: for operators on which they agree."""
    if importlib.util.find_spec("tflite_micro") is None:
        return (litert,)
    return (litert, request.getfixturevalue("tflm"))
