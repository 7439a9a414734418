# SPDX-License-Identifier: Apache-2.0
"""The host's compiler."""

from __future__ import annotations

import pytest

from support.native_model import Builder, compile_runtime, compiler


@pytest.fixture(scope="session")
def cc() -> str:
    """A C compiler; skips where the host has none."""
    found = compiler()
    if found is None:
        pytest.skip("no C compiler on this host (cc, gcc or clang)")
    return found


@pytest.fixture(scope="session")
def native(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Turns bundles into callable models."""
    objects = compile_runtime(tmp_path_factory.mktemp("runtime"), cc, ("-O2", "-fPIC"))
    return Builder(cc, tuple(objects))
