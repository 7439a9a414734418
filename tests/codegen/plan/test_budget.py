# SPDX-License-Identifier: Apache-2.0
"""Whether a model fits, and what the message blames when it does not."""

from __future__ import annotations

import pytest

from fleetgrad_codegen.errors import BudgetError
from fleetgrad_codegen.plan import Budget, Buffer, MemoryPlan, check_budget, place


def plan() -> MemoryPlan:
    buffers = [
        Buffer("image", 100, 0, 0),
        Buffer("hidden", 4000, 0, 1),
        Buffer("wide", 6000, 1, 2),
        Buffer("later", 10, 2, 2),
    ]
    return MemoryPlan(place(buffers), ("0 CONV", "1 CONV", "2 POOL"), 200, 40, 5000)


def test_a_board_that_is_just_large_enough_passes() -> None:
    assert plan().ram_bytes == 10_000 + 2 * 200 + 40
    check_budget(plan(), Budget(flash_bytes=5000, ram_bytes=10_440))


def test_missing_ram_is_counted_and_blamed_on_the_tensors_of_the_peak_step() -> None:
    with pytest.raises(BudgetError) as caught:
        check_budget(plan(), Budget(flash_bytes=5000, ram_bytes=10_000))
    message = str(caught.value)
    assert "440 bytes of RAM more" in message
    assert "step 1 (1 CONV)" in message
    assert "wide 6000, hidden 4000" in message
    assert "later" not in message
    assert caught.value.exit_code == 1


def test_missing_flash_is_counted() -> None:
    with pytest.raises(BudgetError, match="1000 bytes of flash more"):
        check_budget(plan(), Budget(flash_bytes=4000, ram_bytes=20_000))
