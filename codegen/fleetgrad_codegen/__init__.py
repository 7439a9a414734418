# SPDX-License-Identifier: Apache-2.0
"""Turn an int8 ``.tflite`` model into C that runs, and trains, on a microcontroller."""
