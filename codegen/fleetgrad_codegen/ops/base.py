# SPDX-License-Identifier: Apache-2.0
"""What every operator offers, and the checks that most of them need."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum, auto
from typing import ClassVar, NoReturn

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.errors import ModelFormatError, UnsupportedError
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import ABSENT, Array, DType, Graph, Op, Quantization, Tensor
from fleetgrad_codegen.ops.window import Axis
from fleetgrad_codegen.plan.buffers import Region


class Scaling(Enum):
    """How the scales of an operator's input and output may grow; see `fleetgrad_codegen.ranges`."""

    CONSTANT = auto()
    """Neither may: the emitted code takes them as exported."""
    SHARED = auto()
    """Inputs and output grow together: values are moved or picked."""
    FREE = auto()
    """The inputs grow together, the output by itself: values are scaled anew."""


class Operator(ABC):
    """One operator: how it is read, what it demands, what it computes, what it costs.

    Attributes:
        kind: Its name in the TFLite schema.
        code: Its ``BuiltinOperator`` code there.
        options_type: Its ``BuiltinOptions`` code there; 0 when it has no options to read.
        arity: Fewest and most inputs.
        is_view: The output is the first input's bytes under another shape: nothing is computed.
        in_place: Positions of inputs whose memory an output of the same size may take over.
        state: Positions of inputs that are variables: read, and written for the next run.
        scaling: How scales may grow while the model is deployed.
    """

    kind: ClassVar[str]
    code: ClassVar[int]
    options_type: ClassVar[int] = 0
    arity: ClassVar[tuple[int, int]] = (1, 1)
    is_view: ClassVar[bool] = False
    in_place: ClassVar[tuple[int, ...]] = ()
    state: ClassVar[tuple[int, ...]] = ()
    scaling: ClassVar[Scaling] = Scaling.CONSTANT

    def parse(self, options: Table | None) -> object:  # noqa: ARG002
        """Turns the schema's options table into the operator's own frozen dataclass.

        Args:
            options: The table; None where the file has none, which means all defaults.

        Raises:
            ModelFormatError: A value that the schema does not know.
            UnsupportedError: A value that this operator cannot do.
        """
        return None

    @abstractmethod
    def check(self, graph: Graph, op: Op) -> None:
        """Makes sure that ``reference`` and the emitted code can run the operator as it stands.

        Raises:
            ModelFormatError: Shapes or types contradict each other.
            UnsupportedError: Well-formed, and beyond what this operator can do.
        """

    @abstractmethod
    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """Computes the operator: the specification that generated code has to meet bit for bit.

        Args:
            graph: The graph the operator belongs to.
            op: The operator; ``check`` has accepted it.
            inputs: One array per input, in the tensors' own shapes and dtypes; an empty one where
                an optional input is absent.

        Returns:
            One array per output, likewise, and one per position in ``state``: its new value.
        """

    def on_host(self, graph: Graph, op: Op) -> bool:  # noqa: ARG002
        """Whether this use takes or gives something other than int8.

        At an end of the model the host runs it; anywhere else the model is refused.
        """
        return False

    def macs(self, graph: Graph, op: Op) -> int:  # noqa: ARG002
        """Multiply-accumulates of one forward run; additions alone, as in a mean, do not count."""
        return 0

    def scratch(self, graph: Graph, op: Op) -> Region | None:  # noqa: ARG002
        """Working memory that the emitted code needs while it runs, or None."""
        return None

    def can_grow(self, graph: Graph, op: Op, by: int) -> bool:  # noqa: ARG002
        """Whether its constants stay the same but for a shift when their factor grows by 2**by.

        Asked only of operators that scale values anew; otherwise input and output grow together.
        """
        return False

    def growth_regions(self, graph: Graph, op: Op) -> tuple[Region, ...]:  # noqa: ARG002
        """Working memory for constants that follow grown scales."""
        return ()

    def reuses(self, graph: Graph, op: Op) -> tuple[int, ...]:
        """Positions of inputs whose memory the output may take over when it is free.

        Emitted code asks ``body.is_in_place`` whether it has. Sizes may differ.
        """
        nbytes = self._output(graph, op).nbytes
        return tuple(i for i in self.in_place if self._input(graph, op, i).nbytes == nbytes)

    def scratch_in_place(self, graph: Graph, op: Op) -> Region | None:
        """The same as ``scratch`` where the output has taken over an input's memory."""
        return self.scratch(graph, op)

    @abstractmethod
    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """Writes the call of the operator's kernel, and the constants it needs.

        Args:
            graph: The graph the operator belongs to.
            op: The operator; ``check`` has accepted it.
            body: Takes both.

        Raises:
            UnsupportedError: A size beyond what the kernel's parameters can hold.
        """

    def _pointer(self, graph: Graph, op: Op, position: int, body: Body) -> str:
        """A ``const int8_t *`` to an input, constant or not."""
        data = self._input(graph, op, position).data
        if data is not None:
            return body.table(f"op{op.index}_input{position}", data)
        return body.value(op.inputs[position], "const int8_t")

    def _require_options(self, options: Table | None) -> Table:
        if options is None:
            raise ModelFormatError(f"{self.kind} comes without its options")
        return options

    def _unsupported(
        self, graph: Graph, op: Op, what: str, expected: str = "", hint: str = ""
    ) -> NoReturn:
        raise UnsupportedError(what, graph.where(op), expected, hint)

    def _malformed(self, graph: Graph, op: Op, what: str, expected: str = "") -> NoReturn:
        raise ModelFormatError(what, graph.where(op), expected)

    def _input(self, graph: Graph, op: Op, position: int) -> Tensor:
        return graph.tensors[op.inputs[position]]

    def _output(self, graph: Graph, op: Op) -> Tensor:
        return graph.tensors[op.outputs[0]]

    def _optional(self, graph: Graph, op: Op, position: int) -> Tensor | None:
        """An input that may be missing, such as a bias."""
        if position >= len(op.inputs) or op.inputs[position] == ABSENT:
            return None
        return graph.tensors[op.inputs[position]]

    def _check_rank(self, graph: Graph, op: Op, tensor: Tensor, rank: int) -> None:
        if len(tensor.shape) != rank:
            self._malformed(
                graph, op, f'tensor "{tensor.name}" has shape {tensor.shape}', f"{rank} dimensions"
            )

    def _check_shape(self, graph: Graph, op: Op, shape: tuple[int, ...]) -> None:
        """The output has the shape that follows from the inputs and options."""
        output = self._output(graph, op)
        if output.shape != shape:
            self._malformed(
                graph, op, f'output "{output.name}" has shape {output.shape}', f"shape {shape}"
            )

    def _check_int8(self, graph: Graph, op: Op, tensor: Tensor) -> Quantization:
        """An int8 tensor with one scale: what activations have to be."""
        if tensor.dtype is not DType.INT8:
            self._unsupported(
                graph,
                op,
                f'tensor "{tensor.name}" is {tensor.dtype}',
                "int8 activations and weights",
                "quantise the model to full int8 (TFLITE_BUILTINS_INT8)",
            )
        quantization = self._check_quantized(graph, op, tensor)
        if quantization.per_channel:
            self._unsupported(
                graph,
                op,
                f'activation "{tensor.name}" has {len(quantization.scale)} scales',
                "one scale per activation tensor",
            )
        return quantization

    def _check_quantized(self, graph: Graph, op: Op, tensor: Tensor) -> Quantization:
        if tensor.quantization is None:
            self._malformed(
                graph, op, f'tensor "{tensor.name}" has no scale', "a quantised int8 tensor"
            )
        return tensor.quantization

    def _check_same_quantization(self, graph: Graph, op: Op) -> None:
        """Input and output are int8 and mean the same: the operator only moves or picks values."""
        source = self._check_int8(graph, op, self._input(graph, op, 0))
        target = self._check_int8(graph, op, self._output(graph, op))
        close = abs(source.scale[0] - target.scale[0]) <= 1e-6  # the reference's own tolerance
        if not close or source.zero_point != target.zero_point:
            self._unsupported(
                graph,
                op,
                f"input (scale {source.scale[0]:g}, zero point {source.zero_point[0]}) and output "
                f"(scale {target.scale[0]:g}, zero point {target.zero_point[0]}) are quantised "
                "differently",
                "the same scale and zero point",
            )

    def _check_window(self, graph: Graph, op: Op, rows: Axis, columns: Axis) -> None:
        """Strides and dilations are positive, and the window fits into the input at least once."""
        for axis in (rows, columns):
            if axis.window < 1 or axis.stride < 1 or axis.dilation < 1:
                self._malformed(
                    graph,
                    op,
                    f"window {axis.window}, stride {axis.stride}, dilation {axis.dilation}",
                    "positive numbers",
                )
            if axis.output < 1:
                self._malformed(
                    graph, op, f"a window of {axis.reach} on {axis.size} elements", "one that fits"
                )

    def _constant(self, graph: Graph, op: Op, position: int, meaning: str) -> Array:
        """The value of an input that has to be known before the model runs."""
        tensor = self._input(graph, op, position)
        if tensor.data is None:
            self._unsupported(
                graph,
                op,
                f'the {meaning} "{tensor.name}" are computed while the model runs',
                f"constant {meaning}",
            )
        return tensor.data
