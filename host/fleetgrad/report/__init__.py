# SPDX-License-Identifier: Apache-2.0
"""What a run brought, as data, as terminal tables and as one self-contained HTML page."""

from .html import Tile, render_html, render_plan
from .result import Firmware, Memory, MemoryBlock, Reference, Report
from .search import SearchReport, Tried, render_search, search_table
from .tables import device_table, round_table, summary_table

__all__ = [
    "Firmware",
    "Memory",
    "MemoryBlock",
    "Reference",
    "Report",
    "SearchReport",
    "Tile",
    "Tried",
    "device_table",
    "render_html",
    "render_plan",
    "render_search",
    "round_table",
    "search_table",
    "summary_table",
]
