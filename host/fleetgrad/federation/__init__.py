# SPDX-License-Identifier: Apache-2.0
"""Rounds: who takes part, what counts, what the next version is. Sans-I/O; knows no link."""
