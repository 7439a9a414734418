# SPDX-License-Identifier: Apache-2.0
"""The command line: one file per verb, and the only place where host meets codegen."""

from .app import main

__all__ = ["main"]
