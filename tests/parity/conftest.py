# SPDX-License-Identifier: Apache-2.0
"""The host's compiler."""

from __future__ import annotations

import pytest

from support.native_model import Builder, compile_runtime, compiler

KERNELS = {"portable": (), "dsp": ("-DFG_EMULATE_DSP",), "mve": ("-DFG_EMULATE_MVE",)}
"""Flags by kind of kernel; those of Arm cores run instruction by instruction."""


@pytest.fixture(scope="session")
def cc() -> str:
    """A C compiler; skips where the host has none."""
    found = compiler()
    if found is None:
        pytest.skip("no C compiler on this host (cc, gcc or clang)")
    return found


@pytest.fixture(scope="session", params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Compiler flags that pick the kernels of one kind of processor."""
    flags: tuple[str, ...] = KERNELS[request.param]
    return flags


@pytest.fixture(scope="session")
def native(cc: str, kernels: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Turns bundles into callable models."""
    folder = tmp_path_factory.mktemp("runtime")
    objects = compile_runtime(folder, cc, ("-O2", "-fPIC", *kernels))
    return Builder(cc, tuple(objects))
