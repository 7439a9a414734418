# SPDX-License-Identifier: Apache-2.0
"""What trains: schemes adapt a model and add training steps to its timeline."""

from fleetgrad_codegen.scheme.last_layer import LastLayer, device_head
from fleetgrad_codegen.scheme.site import HeadSite, find_head

__all__ = ["HeadSite", "LastLayer", "device_head", "find_head"]
