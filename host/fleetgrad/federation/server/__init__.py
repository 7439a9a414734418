# SPDX-License-Identifier: Apache-2.0
"""What a server does with the mean of a round's updates: pure functions, the same everywhere."""
