# SPDX-License-Identifier: Apache-2.0
"""The reference against other people's interpreters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from hypothesis import HealthCheck, settings

from fleetgrad_codegen.frontend.tflite import parse_model
from fleetgrad_codegen.ops import check_op, interpret
from support.oracle import Oracle, RefusedError

checked = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def agree(
    oracles: Iterable[Oracle], model: bytes, *inputs: np.ndarray, judged: bytes | None = None
) -> None:
    """The reference gives what others give, for this model or for one that means the same."""
    graph = parse_model(model, "test")
    for op in graph.ops:
        check_op(graph, op)
    outputs = interpret(graph, inputs)
    for oracle in oracles:
        try:
            expected = oracle.run(judged or model, inputs)
        except RefusedError as refusal:
            raise AssertionError(f"refused, but we accept it: {refusal}") from refusal
        for ours, theirs in zip(outputs, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
