# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the host, in words a user can act on.

Everything a user can cause or meet derives from :class:`FleetgradError`; any other exception that
reaches the command line is a defect of fleetgrad itself.
"""

from typing import ClassVar


class FleetgradError(Exception):
    """A failure that is explained to the user instead of shown as a traceback.

    Attributes:
        what: What is wrong, one sentence.
        where: File, key, row, device or round; empty where it does not apply.
        expected: What would have been right; empty where ``what`` already says so.
        hint: What to try next; empty when there is nothing to try.
        exit_code: Process exit status: 2 for invalid input (nothing was changed), 1 for work that
            failed, 3 for work that was interrupted and can be resumed.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, where: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(what, where, expected, hint)
        self.what = what
        self.where = where
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        parts = (("where", self.where), ("expected", self.expected), ("try", self.hint))
        return "\n".join([self.what, *(f"  {label}: {text}" for label, text in parts if text)])


class UsageError(FleetgradError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class ConfigError(FleetgradError):
    """fleetgrad.toml or a ``--set`` override is malformed, misspelt or out of range."""

    exit_code = 2


class DataError(FleetgradError):
    """A data set whose shape, dtype, labels or values do not fit the model."""

    exit_code = 2


class BundleError(FleetgradError):
    """A bundle directory that is incomplete, damaged or of another format version."""

    exit_code = 2


class BoardError(FleetgradError):
    """An unknown board, a malformed board.toml, or a board that cannot do what is asked."""

    exit_code = 2


class ToolError(FleetgradError):
    """A compiler, emulator or other program is missing or failed."""


class LinkError(FleetgradError):
    """Bytes cannot be moved to or from a device."""


class LinkClosed(LinkError):  # noqa: N818 - a state of the link that callers expect, not a surprise
    """The other end of a link is gone."""


class WireError(FleetgradError):
    """Bytes that are no frame or no message of this wire version."""


class FleetError(FleetgradError):
    """Devices could not be started, or not enough of them can take part."""


class RoundError(FleetgradError):
    """A round could not gather the updates it needs."""


class StoreError(FleetgradError):
    """The ledger or the model store cannot be read or written."""


class StorageFullError(StoreError):
    """No space left; everything committed so far is intact."""


class Interrupted(FleetgradError):  # noqa: N818 - asked for by the user, not an error
    """Stopped by a signal; running the same command again resumes."""

    exit_code = 3
