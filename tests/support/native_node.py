# SPDX-License-Identifier: Apache-2.0
"""One fleet device in this process, driven step by step on a clock that the test keeps."""

from fleetgrad.toolchain.node import NativeNode

__all__ = ["NativeNode"]
