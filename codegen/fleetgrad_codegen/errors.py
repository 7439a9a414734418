# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while a model is read, planned or written, in words a user can act on."""

from typing import ClassVar


class CodegenError(Exception):
    """A failure that is explained to the user instead of shown as a traceback.

    Attributes:
        what: What is wrong, one sentence.
        where: File, key, operator index or tensor name; empty where it does not apply.
        expected: What would have been right; empty where ``what`` already says so.
        hint: What to try next; empty when there is nothing to try.
        exit_code: Process exit status: 2 for invalid input, 1 for work that failed.
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


class ModelFormatError(CodegenError):
    """The bytes are not a well-formed model."""

    exit_code = 2


class UnsupportedError(CodegenError):
    """A well-formed model that asks for something this version cannot do."""

    exit_code = 2


class FloatModelError(UnsupportedError):
    """A model that computes in float32: it can be quantised, and then it runs."""


class SchemeError(CodegenError):
    """The update scheme does not fit the model."""

    exit_code = 2


class DataError(CodegenError):
    """An array has another shape, dtype or range than the model takes."""

    exit_code = 2


class BudgetError(CodegenError):
    """The plan does not fit the board."""
