# SPDX-License-Identifier: Apache-2.0
"""Data sets: read, checked, split by user, quantised for a model, written as device images."""

from fleetgrad.data.dataset import Dataset, read
from fleetgrad.data.image import write_image
from fleetgrad.data.partition import DeviceData, partition
from fleetgrad.data.quantise import quantise_input

__all__ = ["Dataset", "DeviceData", "partition", "quantise_input", "read", "write_image"]
