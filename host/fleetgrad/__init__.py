# SPDX-License-Identifier: Apache-2.0
"""The host side of fleetgrad: boards, links, rounds, versions, and the command line over them."""
