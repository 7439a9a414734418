# SPDX-License-Identifier: Apache-2.0
"""A scheme that a TOML file spells out, layer by layer.

::

    model = "0f3a.."            # SHA-256 of the .tflite file that it is for

    [[layer]]
    name = "block_3/conv"       # its output tensor, as `fleetgrad inspect` shows it; or op = 7
    ratio = 0.25                # share of output channels whose weights train; 0: the bias alone

A search adds what it has found out: predictions to each layer, and a table ``[search]``. Of these
only ``classes`` is read, to notice a file that was made for another last layer.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.forward import short_name
from fleetgrad_codegen.scheme.deep import DeepScheme, layers_of
from fleetgrad_codegen.scheme.site import HeadSite

_LAYER_KEYS = {"name", "op", "ratio"}
_PREDICTIONS = {"gain", "ram_bytes", "flash_bytes", "instructions"}


@dataclass(frozen=True, slots=True)
class FileLayer:
    """One ``[[layer]]``.

    Attributes:
        label: How the file calls it, for messages.
        name: Of its output tensor; empty where ``op`` tells.
        op: Position in the model file; None where ``name`` tells.
        ratio: Share of output channels whose weights train.
    """

    label: str
    name: str
    op: int | None
    ratio: float


@dataclass(frozen=True, slots=True)
class SchemeFile(DeepScheme):
    """What a file says.

    Attributes:
        source: The file's name, for messages.
        model_sha256: Of the model that it is for, hex.
        file_layers: In the order of the file.
        searched_classes: Of the last layer that a search has found the layers for, 0 for the
            model's own; None where no search has.
    """

    source: str = ""
    model_sha256: str = ""
    file_layers: tuple[FileLayer, ...] = ()
    searched_classes: int | None = None

    @property
    def name(self) -> str:
        """See `DeepScheme.name`."""
        return "file"

    def adapt(self, model: bytes, name: str) -> bytes:
        """See `DeepScheme.adapt`.

        Raises:
            SchemeError: Also where the file is for another model, or another last layer.
        """
        digest = hashlib.sha256(model).hexdigest()
        if digest != self.model_sha256:
            raise SchemeError(
                f"the scheme file is for another model: {self.model_sha256[:16]}..",
                self.source,
                f'model = "{digest}"',
                "a scheme file for this model; if its layers fit, put this digest in",
            )
        classes = self.last.classes or 0
        if self.searched_classes not in {None, classes}:
            raise SchemeError(
                f"found for scheme.classes = {self.searched_classes}, not {classes}",
                self.source,
                f"scheme.classes = {self.searched_classes}",
                "set it; or search again; or take search.classes out of the file",
            )
        # Not super(): slots make a new class, which the zero-argument form does not find.
        return DeepScheme.adapt(self, model, name)

    def ratios(self, site: HeadSite) -> Mapping[int, float]:
        """See `DeepScheme.ratios`."""
        made: dict[int, float] = {}
        for layer in self.file_layers:
            position = self._find(site, layer)
            if position in made:
                raise SchemeError(f"{layer.label} is there twice", self.source, "once each")
            if not 0.0 <= layer.ratio <= 1.0:
                raise SchemeError(
                    f"a ratio of {layer.ratio:g}",
                    f"{self.source}, {layer.label}",
                    "0 (biases only) to 1",
                )
            made[position] = layer.ratio
        return dict(sorted(made.items()))

    def _find(self, site: HeadSite, layer: FileLayer) -> int:
        graph = site.graph
        known = {
            position: (graph.ops[position].index, short_name(graph, graph.ops[position].outputs[0]))
            for position in layers_of(site)
        }
        matches = [
            position
            for position, (op, name) in known.items()
            if (op == layer.op if layer.op is not None else name == layer.name)
        ]
        if len(matches) == 1:
            return matches[0]
        names = ", ".join(f"{name} (op {op})" for op, name in known.values())
        if matches:
            raise SchemeError(
                f"{len(matches)} layers are called {layer.name}",
                f"{self.source}, {layer.label}",
                f"op = one of {', '.join(str(known[match][0]) for match in matches)}",
            )
        raise SchemeError(
            f"the model has no trainable layer {layer.label}", self.source, f"one of {names}"
        )


def read_scheme(text: str, source: str, **settings: Any) -> SchemeFile:
    """Reads a scheme file.

    Args:
        text: Its contents.
        source: Its name, for messages.
        settings: Further attributes of `DeepScheme`.

    Raises:
        SchemeError: It is not TOML, or has unknown, missing or mistyped keys.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SchemeError(f"not valid TOML: {error}", source) from error
    unknown = sorted(tree.keys() - {"model", "search", "layer"})
    if unknown:
        raise SchemeError(f"there is no key {unknown[0]}", source, "model and [[layer]]")
    classes = _searched_classes(tree.get("search", {}), source)
    model, layers = tree.get("model"), tree.get("layer")
    if not isinstance(model, str) or len(model) != 64:
        raise SchemeError("no model", source, 'model = "SHA-256 of the .tflite file, in hex"')
    if not isinstance(layers, list) or not layers:
        raise SchemeError("no layers", source, "at least one [[layer]]")
    read = tuple(_layer(entry, f"{source}, layer {n}") for n, entry in enumerate(layers, 1))
    return SchemeFile(
        source=source,
        model_sha256=model.lower(),
        file_layers=read,
        searched_classes=classes,
        **settings,
    )


def _searched_classes(search: object, source: str) -> int | None:
    if not isinstance(search, dict):
        raise SchemeError("search is no table", source, "[search], or nothing")
    classes = search.get("classes")
    if not (classes is None or (type(classes) is int and classes >= 0)):
        raise SchemeError("search.classes of the wrong type", source, "an integer, 0 or more")
    return classes


def _layer(entry: object, where: str) -> FileLayer:
    if not isinstance(entry, dict):
        raise SchemeError("not a table", where, "[[layer]]")
    unknown = sorted(entry.keys() - _LAYER_KEYS - _PREDICTIONS)
    if unknown:
        raise SchemeError(f"there is no key {unknown[0]}", where, "name or op, and ratio")
    name, op, ratio = entry.get("name", ""), entry.get("op"), entry.get("ratio")
    if not isinstance(name, str) or not (op is None or type(op) is int):
        raise SchemeError("name or op of the wrong type", where, "name a text, op an integer")
    if (op is None) == (not name):
        raise SchemeError("a layer needs a name or an op", where, "exactly one of the two")
    if not isinstance(ratio, int | float) or isinstance(ratio, bool):
        raise SchemeError("no ratio", where, "ratio = 0 (biases only) to 1")
    label = f'"{name}"' if name else f"op {op}"
    return FileLayer(label, name, op, float(ratio))
