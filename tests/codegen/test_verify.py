# SPDX-License-Identifier: Apache-2.0
"""Counting mismatches: a check that cannot fail would prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.errors import DataError
from fleetgrad_codegen.verify import (
    Verdict,
    device_graph,
    random_inputs,
    reference_outputs,
    verify,
)
from support.models import small_cnn

if TYPE_CHECKING:
    from collections.abc import Sequence

GRAPH = device_graph(small_cnn(np.random.default_rng(7)), "small")
INPUTS = random_inputs(GRAPH, 5, seed=1)


def test_the_reference_itself_is_faultless() -> None:
    verdict = verify(GRAPH, lambda xs: reference_outputs(GRAPH, xs), INPUTS)
    assert verdict == Verdict(samples=5, mismatches=0, largest=0)


def test_one_wrong_value_is_counted_and_measured() -> None:
    def backend(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = reference_outputs(GRAPH, inputs)
        outputs[3] = outputs[3].copy()
        outputs[3][0, 0] ^= 2
        return outputs

    assert verify(GRAPH, backend, INPUTS) == Verdict(samples=5, mismatches=1, largest=2)


def test_answers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="4 outputs for 5 inputs"):
        verify(GRAPH, lambda xs: reference_outputs(GRAPH, xs)[1:], INPUTS)
    with pytest.raises(DataError, match="3 output values"):
        verify(GRAPH, lambda xs: [np.zeros(3, np.int8) for _ in xs], INPUTS)
