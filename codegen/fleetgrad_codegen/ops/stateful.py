# SPDX-License-Identifier: Apache-2.0
"""What operators with state share: variables that outlive a run of the model.

TFLite hands such a variable to its operator as one more input. An interpreter fills it with real
zeros when it is made, and keeps it from one run to the next.
"""

import numpy as np

from fleetgrad_codegen.ir import DType, Graph, Op, Quantization, Tensor
from fleetgrad_codegen.ops.base import Operator


class Stateful(Operator):
    """An operator that names inputs in ``state``."""

    def _float32_factor(
        self, graph: Graph, op: Op, product: tuple[Tensor, Tensor], divisor: float
    ) -> float:
        """Scale * scale / divisor, rounded to float32 after each step as the reference does."""
        scales = [self._check_quantized(graph, op, tensor).scale[0] for tensor in product]
        with np.errstate(over="ignore", under="ignore"):
            factor = float(np.float32(scales[0]) * np.float32(scales[1]) / np.float32(divisor))
        if not np.isfinite(factor):
            self._unsupported(
                graph,
                op,
                f"scales {scales[0]:g} * {scales[1]:g} / {divisor:g} leave float32",
                "scales of a calibrated model",
            )
        return factor

    def _check_state(
        self, graph: Graph, op: Op, position: int, size: int, dtypes: tuple[DType, ...]
    ) -> Quantization:
        """A variable of its own, of one of some types, with one scale."""
        tensor = self._input(graph, op, position)
        if not tensor.variable or tensor.is_constant:
            self._malformed(graph, op, f'the state "{tensor.name}" is no variable', "a variable")
        if sum(other.inputs.count(op.inputs[position]) for other in graph.ops) != 1:
            self._unsupported(graph, op, f'several read the state "{tensor.name}"', "one operator")
        if tensor.dtype not in dtypes:
            self._unsupported(
                graph, op, f'the state "{tensor.name}" is {tensor.dtype}', " or ".join(dtypes)
            )
        if tensor.size != size:
            self._malformed(
                graph, op, f'the state "{tensor.name}" has {tensor.size} values', f"{size}"
            )
        quantization = self._check_quantized(graph, op, tensor)
        symmetric = tensor.dtype is DType.INT16
        if quantization.per_channel or (symmetric and quantization.zero_point[0]):
            self._unsupported(
                graph,
                op,
                f'the state "{tensor.name}" has scales {quantization.scale} and zero points '
                f"{quantization.zero_point}",
                "one scale" + (", zero point 0" if symmetric else ""),
            )
        return quantization
