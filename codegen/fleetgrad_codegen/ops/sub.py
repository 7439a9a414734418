# SPDX-License-Identifier: Apache-2.0
"""SUB: the difference of two tensors, each with a scale of its own."""

from fleetgrad_codegen.ops.scaled_sum import ScaledSum


class Sub(ScaledSum):
    """first - second."""

    kind = "SUB"
    code = 41
    options_type = 28
    sign = -1
