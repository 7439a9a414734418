# SPDX-License-Identifier: Apache-2.0
"""Other people's interpreters, each in a process of its own because some models crash them."""

from __future__ import annotations

import contextlib
import multiprocessing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    import numpy as np

    Answer = tuple[str, Any]

TIMEOUT_SECONDS = 120


class RefusedError(Exception):
    """The interpreter does not take the model, or died of it."""


def _litert(model: bytes, samples: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    made = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    made.allocate_tensors()
    outputs = []
    for inputs in samples:
        for detail, value in zip(made.get_input_details(), inputs, strict=True):
            made.set_tensor(detail["index"], value)
        made.invoke()
        outputs.append([made.get_tensor(detail["index"]) for detail in made.get_output_details()])
    return outputs


def _tflm(model: bytes, samples: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    from tflite_micro import runtime

    made = runtime.Interpreter.from_bytes(model)
    outputs = []
    for inputs in samples:
        for position, value in enumerate(inputs):
            made.set_input(value, position)
        made.invoke()
        outputs.append([made.get_output(0)])
    return outputs


_RUNNERS: dict[str, Callable[[bytes, list[list[np.ndarray]]], list[list[np.ndarray]]]] = {
    "litert": _litert,
    "tflm": _tflm,
}


def _serve(runner: str, pipe: Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            model, samples = pipe.recv()
            try:
                pipe.send(("done", _RUNNERS[runner](model, samples)))
            except (RuntimeError, ValueError) as error:
                pipe.send(("refused", str(error)))


class Oracle:
    """Runs samples through an interpreter in another process."""

    def __init__(self, runner: str) -> None:
        self._runner = runner
        self._process: multiprocessing.process.BaseProcess | None = None

    def run(self, model: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for one sample, in a new interpreter.

        Raises:
            RefusedError: As for ``run_sequence``.
        """
        return self.run_sequence(model, [inputs])[0]

    def run_sequence(
        self, model: bytes, samples: Sequence[Sequence[np.ndarray]]
    ) -> list[list[np.ndarray]]:
        """The outputs for samples that one new interpreter gets in order: state is carried on.

        Raises:
            RefusedError: The interpreter raised, crashed, or did not answer.
        """
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(self._runner, theirs), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send((model, [list(inputs) for inputs in samples]))
            if not self._pipe.poll(TIMEOUT_SECONDS):
                raise EOFError
            verdict, value = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.close()
            raise RefusedError(f"{self._runner} died") from None
        if verdict == "refused":
            raise RefusedError(value)
        return list(value)

    def close(self) -> None:
        """Ends the other process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
