# SPDX-License-Identifier: Apache-2.0
"""Small bundles, with and without training."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer
from support.models import small_cnn


def inference() -> Bundle:
    """A small network that only infers."""
    return generate(small_cnn(np.random.default_rng(7)), "small")


def training() -> Bundle:
    """The same with a trained last layer, two samples per update."""
    return generate(
        small_cnn(np.random.default_rng(7)),
        "small",
        scheme=LastLayer(),
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=2,
    )


BUNDLES = {"inference": inference, "training": training}


@pytest.fixture(params=BUNDLES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the small bundles."""
    return str(request.param)


@pytest.fixture
def bundle(kind: str) -> Bundle:
    """A small bundle."""
    return BUNDLES[kind]()
