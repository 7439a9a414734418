# SPDX-License-Identifier: Apache-2.0
"""Importers: file formats in, `ir.Graph` out."""
