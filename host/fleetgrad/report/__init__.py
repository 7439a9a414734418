# SPDX-License-Identifier: Apache-2.0
"""What a run brought, as data, as terminal tables and as one self-contained HTML page."""

from .html import render_html
from .result import Firmware, Memory, MemoryBlock, Reference, Report
from .tables import device_table, round_table, summary_table

__all__ = [
    "Firmware",
    "Memory",
    "MemoryBlock",
    "Reference",
    "Report",
    "device_table",
    "render_html",
    "round_table",
    "summary_table",
]
