# SPDX-License-Identifier: Apache-2.0
"""Two small models, built for fleets and for single devices."""

from __future__ import annotations

import pytest

from fleetgrad_codegen.scheme import Full, LastLayer
from host.conftest import digits, digits_bundle, library  # noqa: F401 - fixtures
from support.fleets import HEAD, LAYERS, Built, built


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A head alone, with batches."""
    return built(tmp_path_factory.mktemp("head"), HEAD, LastLayer(), batch=4)


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All layers of a deeper one, with ranges."""
    return built(tmp_path_factory.mktemp("layers"), LAYERS, Full(last=LastLayer()), ranges=True)
