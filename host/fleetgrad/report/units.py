# SPDX-License-Identifier: Apache-2.0
"""Figures as people read them."""

from __future__ import annotations

from typing import Final

DASH: Final = "\N{EN DASH}"  # stands where there is no figure


def percent(fraction: float | None) -> str:
    """0.9312 becomes 93.1 %."""
    return DASH if fraction is None else f"{100 * fraction:.1f} %"


def points(difference: float) -> str:
    """A difference of two fractions: 0.123 becomes +12.3 points."""
    return f"{100 * difference:+.1f} points".replace("-", "\N{MINUS SIGN}")


def gain(before: float | None, after: float | None) -> str:
    """The difference of two fractions, where both are known."""
    return DASH if before is None or after is None else points(after - before)


def kilobytes(size: float) -> str:
    """12345 becomes 12.1 KB (1024 bytes each, as linkers and data sheets count)."""
    if size < 1024:
        return f"{size:.0f} B"
    return f"{size / 1024:.1f} KB" if size < 1024**2 else f"{size / 1024**2:.1f} MB"


def count(value: float | None) -> str:
    """12345 becomes 12,345."""
    return DASH if value is None else f"{value:,.0f}"


def millions(value: float) -> str:
    """2656768 becomes 2.66 M; small figures stay whole."""
    return count(value) if value < 1e6 else f"{value / 1e6:,.2f} M"


def number(value: float | None) -> str:
    """0.12345 becomes 0.123."""
    return DASH if value is None else f"{value:.3f}"
