# SPDX-License-Identifier: Apache-2.0
"""ADD: the sum of two tensors, each with a scale of its own."""

from fleetgrad_codegen.ops.scaled_sum import ScaledSum


class Add(ScaledSum):
    """first + second."""

    kind = "ADD"
    code = 0
    options_type = 11
    sign = 1
