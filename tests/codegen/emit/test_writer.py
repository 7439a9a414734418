# SPDX-License-Identifier: Apache-2.0
"""Lines of C and constant tables."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad_codegen.emit.constants import Constants
from fleetgrad_codegen.emit.writer import COLUMNS, Writer, literal


@given(st.lists(st.integers(-(2**31), 2**32 - 1), min_size=1, max_size=300))
def test_arrays_keep_every_value_and_fit_the_line_length(values: list[int]) -> None:
    out = Writer()
    out.array("static const int64_t", "table", values)
    assert all(len(line) <= COLUMNS for line in out.text.splitlines())
    body = out.text.split("{", 1)[1].replace("INT32_MIN", str(-(2**31)))
    assert [int(number) for number in re.findall(r"-?\d+", body)] == values
    assert f"table[{len(values)}]" in out.text


def test_the_smallest_int32_is_written_by_name() -> None:
    """-2147483648 is an expression of type long: the negation of a number that is no int."""
    assert literal(-(2**31)) == "INT32_MIN"
    assert literal(-(2**31) + 1) == "-2147483647"


def test_long_calls_break_between_arguments() -> None:
    out = Writer()
    arguments = ", ".join(f"ARENA(const int8_t, {index}U)" for index in range(9))
    with out.block("void f(void)"):
        out.line(f"call({arguments});")
    lines = out.text.splitlines()
    assert all(len(line) <= COLUMNS for line in lines)
    assert all(line.count("(") == line.count(")") for line in lines[2:-2])
    assert " ".join(line.strip() for line in lines[1:-1]) == f"call({arguments});"


def test_equal_tables_are_stored_once() -> None:
    constants = Constants()
    assert constants.table("first", np.arange(4, dtype=np.int8)) == "first"
    assert constants.table("second", np.arange(4, dtype=np.int8).reshape(2, 2)) == "first"
    assert constants.table("third", np.arange(4, dtype=np.int16)) == "third"
    assert constants.table_bytes == 4 + 8
    assert constants.text.count("static const") == 2


def test_two_constants_never_share_a_name() -> None:
    constants = Constants()
    constants.table("scale", np.zeros(2, np.int8))
    with pytest.raises(ValueError, match="two constants are called scale"):
        constants.struct("fg_window", "scale", {})


def test_a_struct_may_be_asked_for_again_but_not_redefined() -> None:
    constants = Constants()
    for _ in range(2):
        assert constants.struct("fg_output", "limits", {"low": -3, "high": 4}) == "&limits"
    assert constants.text.count("fg_output") == 1
    with pytest.raises(ValueError, match="two constants are called limits"):
        constants.struct("fg_output", "limits", {"low": -3, "high": 5})
