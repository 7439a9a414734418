# SPDX-License-Identifier: Apache-2.0
"""Full-integer quantisation of float models; the only place where TensorFlow is imported."""

from fleetgrad.quantize.keras import FloatModel, convert, read_keras
from fleetgrad.quantize.samples import Representative, representative
from fleetgrad.quantize.tflite import quantise_tflite

__all__ = [
    "FloatModel",
    "Representative",
    "convert",
    "quantise_tflite",
    "read_keras",
    "representative",
]
