# SPDX-License-Identifier: Apache-2.0
"""Virtual fleets at scale: the firmware's C, looped over devices in threads, and a clock."""
