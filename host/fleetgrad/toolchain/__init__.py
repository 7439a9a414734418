# SPDX-License-Identifier: Apache-2.0
"""From a bundle to firmware: compilers, images, emulators, and the firmware as a library."""

from fleetgrad.toolchain.compilers import Compiler, find_compiler
from fleetgrad.toolchain.image import APPS, Image, build_image

__all__ = ["APPS", "Compiler", "Image", "build_image", "find_compiler"]
