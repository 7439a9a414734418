# SPDX-License-Identifier: Apache-2.0
"""Writes the bundle's files: C from a planned program, and the manifest."""
