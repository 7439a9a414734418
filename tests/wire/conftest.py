# SPDX-License-Identifier: Apache-2.0
"""The C code, built once per test process."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import settings

from support import wire_native

# How long one example takes says nothing here: the first call of a function loads it.
settings.register_profile("wire", deadline=None)
settings.load_profile("wire")


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> wire_native.NativeWire:
    """The C wire code in this process; skips where the host has no C compiler."""
    compiler = next(
        (found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None
    )
    if compiler is None:
        pytest.skip("no C compiler on this host (cc, gcc or clang)")
    return wire_native.build(tmp_path_factory.mktemp("wire"), compiler)
