# SPDX-License-Identifier: Apache-2.0
"""What trains: schemes adapt a model and add training steps to its timeline."""

from fleetgrad_codegen.scheme.bias import Bias
from fleetgrad_codegen.scheme.deep import DeepScheme, deep_training
from fleetgrad_codegen.scheme.file import SchemeFile, read_scheme
from fleetgrad_codegen.scheme.full import Full
from fleetgrad_codegen.scheme.last_layer import LastLayer, device_head
from fleetgrad_codegen.scheme.lora import Lora
from fleetgrad_codegen.scheme.site import HeadSite, find_head
from fleetgrad_codegen.scheme.sparse import Sparse

__all__ = [
    "Bias",
    "DeepScheme",
    "Full",
    "HeadSite",
    "LastLayer",
    "Lora",
    "SchemeFile",
    "Sparse",
    "deep_training",
    "device_head",
    "find_head",
    "read_scheme",
]
