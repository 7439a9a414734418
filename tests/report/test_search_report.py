# SPDX-License-Identifier: Apache-2.0
"""The page that holds predictions against what was measured."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from fleetgrad.report import SearchReport, Tried, render_search, search_table


def tried(label: str, ram: int, *, chosen: bool = False, fits: bool = True) -> Tried:
    return Tried(
        label=label, layers=3, ratios="4:0.5 7:1", ram_bytes=ram, flash_bytes=2 * ram,
        instructions=100 * ram, fits=fits, chosen=chosen, predicted_gain=ram / 10_000,
        predicted_loss=0.5, predicted_accuracy=0.75, gain=ram / 11_000, loss=0.512, accuracy=0.741,
    )  # fmt: skip


REPORT = SearchReport(
    model="<words>", board="A board & more", ram_limit=65536, flash_limit=2**20,
    instruction_limit=None, loss_before=1.0986, accuracy_before=0.333,
    tried=(tried("last-layer", 9_000), tried("auto", 20_000, chosen=True),
           tried("full", 90_000, fits=False)),
    rank_correlation=0.97, standard_error=0.021, samples=600, heldout=500, seeds=2,
    learning_rate=0.005, scheme='model = "00"\n[[layer]]\nop = 4 # <x>\n',
)  # fmt: skip


class Balanced(HTMLParser):
    """Complains about tags that nobody closes, or closes too often."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta", "br", "path", "use", "rect", "circle", "line"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"path", "use", "rect", "circle", "line"}:
            return
        assert self.open.pop() == tag


def test_every_scheme_is_on_the_page_and_markup_is_escaped() -> None:
    page = render_search(REPORT)
    checker = Balanced()
    checker.feed(page)
    assert not checker.open
    assert "&lt;words&gt;" in page
    assert "# &lt;x&gt;" in page
    assert "A board &amp; more" in page
    rows = re.findall(r"<tr><td>(.*?)</tr>", page)
    assert [row.split("<")[0] for row in rows] == ["last-layer", "auto", "full"]
    assert [row.endswith(end) for row, end in zip(
        rows, ("<td></td>", "<td>chosen</td>", "<td>too big</td>"), strict=True
    )] == [True] * 3  # fmt: skip
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_same_report_gives_the_same_page() -> None:
    assert render_search(REPORT) == render_search(REPORT)


@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_not_known_is_not_shown_as_a_number(labelled: bool) -> None:
    accuracy = 0.7 if labelled else None
    bare = replace(
        REPORT,
        accuracy_before=accuracy,
        rank_correlation=math.nan,
        tried=tuple(
            replace(one, accuracy=accuracy, predicted_accuracy=accuracy) for one in REPORT.tried
        ),
    )
    page = render_search(bare)
    assert "nan" not in page
    assert ("Accuracy</dt>" in page) is labelled
    assert "None" not in page


def test_the_table_has_a_line_per_scheme() -> None:
    console = Console(width=140, file=io.StringIO())
    console.print(search_table(REPORT))
    lines = console.file.getvalue().splitlines()[2:]
    assert [line.split()[0] for line in lines] == ["last-layer", "auto", "full"]
    assert [line.split()[-1] for line in lines] == ["fits", "chosen", "big"]
    assert "19.5 KB" in lines[1]
    assert "74.1 %" in lines[1]
