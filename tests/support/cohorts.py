# SPDX-License-Identifier: Apache-2.0
"""Cohorts of made-up updates, and robust rules by their definitions, in unbounded numbers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np

from fleetgrad.federation.strategies.robust import Updates
from support.fedavg_oracle import round_half_away

ROOT = Path(__file__).resolve().parents[2]

Rows = list[list[int]]


def byzfl_answers() -> ModuleType:
    """The script that asked ByzFL."""
    path = ROOT / "tools" / "oracles" / "byzfl_answers.py"
    spec = importlib.util.spec_from_file_location("byzfl_answers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cohort(
    deltas: Sequence[Sequence[int]],
    exponents: Sequence[Sequence[int]],
    segments: tuple[int, ...],
) -> Updates:
    """Updates in memory."""
    whole = np.array(deltas, np.int8).reshape(len(exponents), sum(segments))
    devices = tuple(range(1, len(exponents) + 1))
    return Updates(segments, [tuple(row) for row in exponents], lambda i, j: whole[:, i:j], devices)


def plain(rows: Rows) -> Updates:
    """Updates of one segment with the exponent 0."""
    return cohort(rows, [[0]] * len(rows), (len(rows[0]),))


def values_of(updates: Updates) -> Rows:
    """What the deltas stand for, as Python's integers."""
    found: Rows = []
    for row, exponents in enumerate(updates.exponents):
        deltas = updates.read(0, updates.count)[row].tolist()
        shifts = [
            e for e, count in zip(exponents, updates.segments, strict=True) for _ in range(count)
        ]
        found.append([q << e for q, e in zip(deltas, shifts, strict=True)])
    return found


def units(value: Fraction) -> int:
    """In 2^-16, to nearest, ties away from zero."""
    return round_half_away(value * 65536)


def median(column: Sequence[int]) -> Fraction:
    """Of any numbers."""
    ordered = sorted(column)
    return Fraction(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2], 2)


def mean(rows: Rows) -> list[Fraction]:
    """Of each column."""
    return [Fraction(sum(column), len(rows)) for column in zip(*rows, strict=True)]


def squared(a: Sequence[int], b: Sequence[int]) -> int:
    """The squared distance."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def krum_order(rows: Rows, neighbours: int) -> list[int]:
    """Rows by their sum of squared distances to the nearest others."""

    def score(row: int) -> int:
        others = sorted(squared(rows[row], other) for i, other in enumerate(rows) if i != row)
        return sum(others[:neighbours])

    return sorted(range(len(rows)), key=lambda row: (score(row), row))


def bulyan(rows: Rows, attackers: int) -> list[Fraction]:
    """As the paper has it."""
    left, chosen = list(rows), []
    for _ in range(len(rows) - 2 * attackers):
        best = krum_order(left, max(0, len(left) - attackers - 2))[0]
        chosen.append(left.pop(best))
    kept = len(rows) - 4 * attackers
    found = []
    for column in zip(*chosen, strict=True):
        at = median(column)
        nearest = sorted(column, key=lambda value: (abs(value - at), value))[:kept]
        found.append(Fraction(sum(nearest), kept))
    return found
