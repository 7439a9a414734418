# SPDX-License-Identifier: Apache-2.0
"""From a matplotlib figure to inline SVG that takes its colours and fonts from the page.

Matplotlib writes colours into the picture. Each role here is drawn in a colour that means nothing
by itself and is replaced by the page's CSS variable, so that one picture suits light and dark.
"""

from __future__ import annotations

import html
import io
import re
from contextlib import AbstractContextManager
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure

# Role -> the stand-in that matplotlib draws with.
INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
SURFACE: Final = "#040404"
ACCENT: Final = "#050505"
BEFORE: Final = "#060606"
REFERENCE: Final = "#070707"
ACCENT_SOFT: Final = "#080808"
KIND_A: Final = "#090909"
KIND_B: Final = "#0a0a0a"
KIND_C: Final = "#0b0b0b"

ROLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    ACCENT: "--accent",
    BEFORE: "--before",
    REFERENCE: "--reference",
    ACCENT_SOFT: "--accent-soft",
    KIND_A: "--kind-a",
    KIND_B: "--kind-b",
    KIND_C: "--kind-c",
}

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fleetgrad",
    "svg.id": None,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are drawn for `to_svg`."""
    return matplotlib.rc_context(STYLE)


def to_svg(figure: Figure, name: str, description: str) -> str:
    """Renders a figure as an inline `<svg>` element.

    Args:
        figure: Drawn within `style()`, with the stand-in colours above.
        name: Prefix that keeps ids apart when several pictures share a page.
        description: What the picture shows, for readers who do not see it.

    Returns:
        The element, the same for the same figure on every run.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    for stand_in, variable in ROLES.items():
        drawn = drawn.replace(stand_in, f"var({variable})")
    drawn = re.sub(r"(font-family: )[^;\"]+", r"\1inherit", drawn)
    drawn = re.sub(r"(font: (?:[\w.]+ )*[\d.]+px )[^;\"]+", r"\1var(--sans)", drawn)
    drawn = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', drawn)
    drawn = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", drawn)
    drawn = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', drawn)
    view = re.search(r'viewBox="([^"]+)"', drawn)
    assert view is not None
    opening = (
        f'<svg viewBox="{view.group(1)}" role="img" aria-label="{html.escape(description)}"'
        ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + drawn[drawn.index(">") + 1 :].strip()
