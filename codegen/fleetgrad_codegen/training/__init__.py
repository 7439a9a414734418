# SPDX-License-Identifier: Apache-2.0
"""What devices compute when they learn, in NumPy: the executable specification.

The C under ``firmware/src/train`` computes the same, bit for bit. `float_reference` is what it is
compared with: the same learning in float32.
"""
