# SPDX-License-Identifier: Apache-2.0
"""The wire: frames, messages and transfers as pure functions of bytes and time, no I/O."""
