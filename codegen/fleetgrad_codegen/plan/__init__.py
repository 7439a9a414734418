# SPDX-License-Identifier: Apache-2.0
"""Where every tensor lives: lifetimes, arena offsets, an independent check, budgets."""
