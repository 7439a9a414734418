# SPDX-License-Identifier: Apache-2.0
"""What a verb may say to the user: one result on stdout, notes and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol

import click
from rich.console import Console, RenderableType
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from fleetgrad.errors import FleetgradError
from fleetgrad_codegen.errors import CodegenError

P = ParamSpec("P")

# Without a terminal, a long job says where it is at most this often.
PLAIN_INTERVAL_S = 2.0


def stdout() -> Console:
    """Tables and text; wide enough for a table when there is no terminal to ask."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=110)


def stderr() -> Console:
    """Notes, progress and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(error: FleetgradError | CodegenError) -> None:
    """The one way an error reaches the user."""
    console = stderr()
    console.print(f"[bold red]error:[/] {escape(error.what)}")
    for label, text in (("where", error.where), ("expected", error.expected), ("try", error.hint)):
        if text:
            console.print(f"  [dim]{label}:[/] {escape(text)}")


class Advance(Protocol):
    """Tells a progress display that work was done."""

    def __call__(self, done: int, note: str = "") -> None:
        """Args: done: units finished since the start; note: what the last one brought."""


@dataclass(frozen=True)
class Ui:
    """What a verb talks through.

    Attributes:
        as_json: One JSON document instead of tables.
        verbosity: -1 quiet, 0 normal, 1 and more: details.
        out: Where results go.
        err: Where everything else goes.
    """

    as_json: bool
    verbosity: int
    out: Console = field(default_factory=stdout)
    err: Console = field(default_factory=stderr)

    def result(self, document: Mapping[str, Any], *shown: RenderableType) -> None:
        """Prints the verb's result: the document with --json, else the tables."""
        if self.as_json:
            print(json.dumps(document, indent=2), flush=True)  # the verb may go on for long
            return
        for renderable in shown:
            self.out.print(renderable)

    def refuse(self, error: FleetgradError | CodegenError) -> NoReturn:
        """Ends the verb after its result was shown: the figures are there, and they are bad."""
        print_error(error)
        raise click.exceptions.Exit(error.exit_code)

    def note(self, text: str) -> None:
        """A line about what happens now; silent with -q."""
        if self.verbosity >= 0:
            self.err.print(escape(text))

    def detail(self, text: str) -> None:
        """A line that only -v shows."""
        if self.verbosity > 0:
            self.err.print(f"[dim]{escape(text)}[/]")

    @contextlib.contextmanager
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        """A bar on a terminal, plain lines otherwise, nothing with -q.

        Args:
            what: The work in a few words.
            total: Units of work in all.

        Yields:
            The function to call with the units done so far.
        """
        if self.verbosity < 0:
            yield _no_progress
        elif self.err.is_terminal:
            with _bar(self.err) as bar:
                task = bar.add_task(what, total=total, note="")
                yield lambda done, note="": bar.update(task, completed=done, note=escape(note))
        else:
            yield _plain_progress(self, what, total)


def _no_progress(done: int, note: str = "") -> None:
    del done, note


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
    )


def _plain_progress(ui: Ui, what: str, total: int) -> Advance:
    """A line at the moment a unit is finished, unless the last line is only just out."""
    last_time = time.monotonic() - PLAIN_INTERVAL_S
    seen = 0

    def advance(done: int, note: str = "") -> None:
        nonlocal last_time, seen
        now = time.monotonic()
        if done > seen and (done >= total or now - last_time >= PLAIN_INTERVAL_S):
            last_time = now
            ui.note(f"{what}: {done}/{total}{'  ' + note if note else ''}")
        seen = max(seen, done)

    return advance


def verb(function: Callable[Concatenate[Ui, P], None]) -> Callable[P, None]:
    """Gives a verb --json, -v and -q, and hands it its `Ui` as the first argument."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("-v", "--verbose", count=True, help="Say more; twice for the libraries' logs.")
    @click.option("-q", "--quiet", is_flag=True, help="No notes and no progress.")
    @wraps(function)
    def with_ui(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.pop("as_json"))
        verbose = int(str(kwargs.pop("verbose")))
        ui = Ui(as_json, -1 if kwargs.pop("quiet") else verbose)
        _send_logs_to(ui)
        function(ui, *args, **kwargs)

    return with_ui


def _send_logs_to(ui: Ui) -> None:
    """Warnings of the packages are shown; -v adds their notes, -vv everything."""
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    handler = RichHandler(console=ui.err, show_time=False, show_path=False, show_level=True)
    for name in ("fleetgrad", "fleetgrad_codegen"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(levels.get(ui.verbosity, logging.DEBUG))
