# SPDX-License-Identifier: Apache-2.0
"""The layering of the Python packages: who may know whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.imports import imports_of, module_name, within

ROOT = Path(__file__).resolve().parents[2]
BASES = (ROOT / "host", ROOT / "codegen")

# What a part of the host may import of the host, besides itself and `errors`. A part that is not
# listed may import nothing but those two; `cli` joins everything and is free.
ALLOWED = {
    "errors": (),
    "results": (),
    "boards": ("toml_table",),
    "toml_table": (),
    "config": ("schedule", "settings"),
    "schedule": (),
    "settings": (),
    "wire": (),
    "link": (),  # bytes: it knows no messages
    "device": ("wire",),  # sans-I/O: it never sees the link that its shell moves bytes over
    "federation": ("results", "settings", "wire", "device"),  # rounds: it never sees a link
    "bundle": (),
    "data": ("bundle", "config"),
    "store": ("bundle", "federation"),  # what survives: it knows neither devices nor links
    # devices that run: it knows no rounds
    "fleet": ("boards", "data", "device", "link", "toolchain", "wire"),
    "flash": ("boards", "fleet", "toolchain"),
    # whole rounds of virtual devices: it knows neither links nor sessions
    "simulate": (
        "boards",
        "bundle",
        "data",
        "device",
        "federation",
        "paths",
        "toolchain",
        "wire",
    ),
    "quantize": ("data",),
    "report": ("results",),
}

# Operating system, time and randomness: kept out of what must be replayable from its arguments.
IMPURE = (
    "asyncio", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "serial", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time",
)  # fmt: skip
SANS_IO = ("fleetgrad.wire", "fleetgrad.federation", "fleetgrad.device")


def sources() -> list[tuple[Path, Path]]:
    return [(path, base) for base in BASES for path in sorted(base.rglob("*.py"))]


def violations(forbidden: object) -> list[str]:
    """Lines whose import `forbidden(importer, imported)` objects to."""
    assert callable(forbidden)
    return [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path, base in sources()
        for imported, line in imports_of(path, base)
        if forbidden(module_name(path, base), imported)
    ]


def part_of(module: str) -> str:
    """fleetgrad.wire.framing -> wire."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_codegen_never_imports_host() -> None:
    assert not violations(
        lambda importer, imported: (
            within(importer, "fleetgrad_codegen") and within(imported, "fleetgrad")
        )
    )


def test_only_the_command_line_joins_host_and_codegen() -> None:
    assert not violations(
        lambda importer, imported: (
            within(importer, "fleetgrad")
            and not within(importer, "fleetgrad.cli")
            and within(imported, "fleetgrad_codegen")
        )
    )


def test_nothing_imports_the_command_line() -> None:
    assert not violations(
        lambda importer, imported: (
            not within(importer, "fleetgrad.cli")
            and importer != "fleetgrad.__main__"  # the command by another name
            and within(imported, "fleetgrad.cli")
        )
    )


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_part_of_the_host_imports_only_what_its_layer_allows(part: str) -> None:
    allowed = {part, "errors", *ALLOWED[part]}
    assert not violations(
        lambda importer, imported: (
            within(importer, f"fleetgrad.{part}")
            and within(imported, "fleetgrad")
            and imported.count(".") >= 1
            and part_of(imported) not in allowed
        )
    )


def test_links_know_no_messages() -> None:
    assert not violations(
        lambda importer, imported: (
            within(importer, "fleetgrad.link") and within(imported, "fleetgrad.wire")
        )
    )


def test_wire_device_and_federation_do_no_input_or_output() -> None:
    assert not violations(
        lambda importer, imported: within(importer, *SANS_IO) and within(imported, *IMPURE)
    )


def test_only_importers_read_flatbuffers_or_tensorflow() -> None:
    readers = ("fleetgrad_codegen.frontend", "fleetgrad.quantize")
    formats = ("tensorflow", "keras", "tflite", "flatbuffers", "tflite_runtime")
    assert not violations(
        lambda importer, imported: within(imported, *formats) and not within(importer, *readers)
    )


def test_graph_knows_no_operator() -> None:
    assert not violations(
        lambda importer, imported: (
            within(importer, "fleetgrad_codegen.ir") and within(imported, "fleetgrad_codegen.ops")
        )
    )


def test_there_is_one_file_per_operator() -> None:
    from fleetgrad_codegen import ops

    for kind, operator in ops.REGISTRY.items():
        module = type(operator).__module__
        assert module.rsplit(".", 1)[1] == kind.lower(), f"{kind} lives in {module}"
