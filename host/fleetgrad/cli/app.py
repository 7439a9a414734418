# SPDX-License-Identifier: Apache-2.0
"""The `fleetgrad` command: finds the verb, runs it, turns what happens into an exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final, NoReturn

import click

from fleetgrad.errors import FleetgradError, Interrupted, UsageError
from fleetgrad_codegen.errors import CodegenError

from .ui import print_error

# In the order in which a newcomer meets them. Each is a module of this package with a `command`.
VERBS: Final = (
    "doctor", "new", "boards", "quantize", "inspect", "infer", "plan", "build", "flash", "emulate",
    "devices", "mqtt", "gateway", "train", "run", "simulate", "models", "log", "replay", "demo",
    "config", "bench",
)  # fmt: skip

OK: Final = 0
FAILED: Final = 1


class Verbs(click.Group):
    """Imports a verb's module only when that verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in their reading order."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, or None for an unknown one."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"{__package__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest verb when there is none of this name."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            near = difflib.get_close_matches(name, VERBS, n=1)
            raise UsageError(
                f"there is no verb {name!r}",
                expected=", ".join(VERBS),
                hint=f"fleetgrad {near[0]}" if near else "fleetgrad --help",
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fleetgrad", prog_name="fleetgrad")
def fleetgrad() -> None:
    """Trains int8 neural networks on microcontrollers, over fleets.

    Every verb takes --json (one JSON document on stdout), -v and -q. Exit codes: 0 done, 1 the work
    failed, 2 wrong usage or invalid input, 3 interrupted and resumable.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        argv: The arguments after the program's name; the process's own by default.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage or invalid input, 3 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no name is too odd to be told
            stream.reconfigure(errors="backslashreplace")
    try:
        status = fleetgrad.main(arguments, prog_name="fleetgrad", standalone_mode=False)
    except BrokenPipeError:
        _give_up_stdout()  # its reader has seen enough
        return FAILED
    except (KeyboardInterrupt, Exception) as error:
        explained = explain(error)
        if os.environ.get("FLEETGRAD_TRACEBACK"):
            traceback.print_exc()
        print_error(explained)
        if "--json" in arguments:  # stdout gets its one document in failure too
            try:
                print(json.dumps({"error": error_document(explained)}), flush=True)
            except OSError:  # stdout itself is what fails
                _give_up_stdout()
        return explained.exit_code
    return status if isinstance(status, int) else OK  # an int where the verb chose to exit


def _give_up_stdout() -> None:
    """Keeps Python from writing what is left, and from complaining about it, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A polite kill is a Ctrl-C: emulators stop, and the run can go on later."""
    del number, frame
    raise KeyboardInterrupt


def explain(error: BaseException) -> FleetgradError | CodegenError:
    """Puts whatever was raised into words: what, where, what was expected, what to try."""
    match error:
        case FleetgradError() | CodegenError():
            return error
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "fleetgrad"
            return UsageError(error.format_message(), hint=f"{path} --help")
        case KeyboardInterrupt() | click.Abort():
            return Interrupted("interrupted", hint="the same command again; a run goes on")
        case OSError():
            return explain_os_error(error)
        case _:
            what = f"internal error: {type(error).__name__}: {error}"
            return FleetgradError(what, hint="FLEETGRAD_TRACEBACK=1 shows where; please report it")


def explain_os_error(error: OSError) -> FleetgradError:
    """What the operating system refused, where, and what to try."""
    hints = {
        errno.ENOSPC: "free some space and run it again; no partial file was left",
        errno.EACCES: "check the permissions, or name another place",
        errno.EROFS: "name another place",
        errno.ENOENT: "check the path",
    }
    reason = error.strerror or str(error)
    hint = hints.get(error.errno or 0, "")
    return FleetgradError(reason[:1].lower() + reason[1:], str(error.filename or ""), hint=hint)


def error_document(error: FleetgradError | CodegenError) -> dict[str, Any]:
    """An error as --json shows it."""
    return {
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "try": error.hint,
        "exit_code": error.exit_code,
    }
