# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import io
import json
import re
from html.parser import HTMLParser

from rich.console import Console

from fleetgrad.report import Report, device_table, render_html, round_table, summary_table

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Balance(HTMLParser):
    """Checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(*renderables: object) -> str:
    console = Console(file=io.StringIO(), width=120)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_page_is_the_same_for_the_same_result(report: Report) -> None:
    assert render_html(report) == render_html(report)


def test_page_is_well_formed_and_ids_are_unique(report: Report) -> None:
    balance = Balance()
    balance.feed(render_html(report))
    assert balance.open == []
    assert len(balance.ids) == len(set(balance.ids))


def test_page_loads_nothing(report: Report) -> None:
    page = render_html(report)
    assert "<script" not in page
    links = re.findall(r'(?:src|href)="(?!#)([^"]*)"', page)
    assert links == []
    assert "url(http" not in page


def test_pictures_take_their_colours_from_the_page(report: Report) -> None:
    pictures = re.findall(r"<svg.*?</svg>", render_html(report), flags=re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        assert not re.search(r"#[0-9a-f]{6}\b", picture)
        assert "var(--" in picture


def test_every_picture_tells_what_it_shows(report: Report) -> None:
    for label in re.findall(r'<svg[^>]*aria-label="([^"]*)"', render_html(report)):
        assert len(label) > 30


def test_names_are_escaped(report: Report) -> None:
    run = dataclasses.replace(
        report.run, devices=(dataclasses.replace(report.run.devices[0], name="<b>&"),)
    )
    assert "<b>&" not in render_html(dataclasses.replace(report, run=run, title="a<b>&"))


def test_page_leaves_out_what_was_not_measured(report: Report) -> None:
    bare = dataclasses.replace(
        report, reference=None, firmware=None, instructions_per_step=None, verified_samples=None
    )
    page = render_html(bare)
    assert "float32" not in page
    assert "bit for bit" not in page
    assert '<h2 id="h-firmware"' not in page


def test_json_document_has_the_promised_keys(report: Report) -> None:
    document = json.loads(json.dumps(report.to_json()))
    promised = {
        "run_id", "rounds", "accuracy_before", "accuracy_after", "model_digest", "fleet", "backend",
        "report", "exported_model",
    }  # fmt: skip
    assert promised <= set(document)
    of_a_round = {
        "round", "selected", "accepted", "dropped", "loss", "accuracy", "bytes_up", "bytes_down",
        "seconds", "clipped", "saturated",
    }  # fmt: skip
    assert of_a_round == set(document["rounds"][0])


def test_uplink_counts_all_bytes_of_accepted_updates(report: Report) -> None:
    assert report.uplink_per_weight == 701 / 650


def test_tables_show_before_and_after_of_every_device(report: Report) -> None:
    text = text_of(device_table(report.run), round_table(report.run), summary_table(report))
    for device in report.run.devices:
        assert device.name in text
    assert "51.2 % -> " in text
    assert "12,345" in text
