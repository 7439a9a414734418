# SPDX-License-Identifier: Apache-2.0
"""Bundles: what is in them, that they are reproducible, and how they get onto a disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.bundle import Bundle, BundleWriteError, generate
from fleetgrad_codegen.emit.manifest import UPDATE_HEADER_BYTES, canonical
from fleetgrad_codegen.errors import BudgetError, UnsupportedError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.plan import Budget, check_layout
from support.models import ModelBuilder, small_cnn

FILES = ["manifest.json", "model.c", "model.h", "model.tflite", "params.bin"]


def test_generated_files_match_the_golden_ones(
    bundle: Bundle, kind: str, update_golden: bool
) -> None:
    folder = Path(__file__).parent / "golden" / kind
    for name in ("manifest.json", "model.c", "model.h"):
        if update_golden:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(bundle.files[name])
        hint = "pytest --update-golden writes them anew"
        assert (folder / name).read_bytes() == bundle.files[name], hint


def test_another_process_generates_the_same_bytes(kind: str, bundle: Bundle) -> None:
    code = (
        f"from codegen.emit.conftest import {kind}; import hashlib\n"
        f"for name, data in sorted({kind}().files.items()):\n"
        "    print(name, hashlib.sha256(data).hexdigest())\n"
    )
    tests = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": tests, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    ours = [f"{n} {hashlib.sha256(data).hexdigest()}" for n, data in sorted(bundle.files.items())]
    assert done.stdout.splitlines() == ours


def test_the_digest_covers_manifest_code_and_model(bundle: Bundle) -> None:
    manifest = json.loads(bundle.files["manifest.json"])
    assert bytes.fromhex(manifest.pop("digest")) == bundle.digest
    source, zeroed = bundle.files["model.c"].decode(), bytes(8)
    field = ".digest = {" + ", ".join(f"0x{byte:02x}" for byte in bundle.digest[:8]) + "}"
    assert source.count(field) == 1
    source = source.replace(field, ".digest = {" + ", ".join(f"0x{b:02x}" for b in zeroed) + "}")
    parts = (canonical(manifest), source.encode(), bundle.files["model.tflite"])
    together = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    assert hashlib.sha256(together).digest() == bundle.digest


def test_generated_code_depends_on_public_headers_alone(bundle: Bundle) -> None:
    source = bundle.files["model.c"].decode()
    headers = set(re.findall(r'#include ["<](.*?)[">]', source))
    assert {"model.h", "stddef.h", "fleetgrad/fg_kernels.h"} <= headers
    assert all(h.startswith("fleetgrad/") for h in headers - {"model.h", "stddef.h"})
    assert re.findall(r"^static (?!const |fg_status )", source, re.MULTILINE) == []
    assert "float" not in source
    assert "double" not in source


def test_the_manifest_describes_memory_and_parameters(bundle: Bundle) -> None:
    manifest = json.loads(bundle.files["manifest.json"])
    check_layout(bundle.memory.layout)
    assert manifest["memory"]["arena_bytes"] >= manifest["memory"]["lower_bound_bytes"]
    assert manifest["memory"]["ram_bytes"] == bundle.memory.ram_bytes
    assert len(manifest["memory"]["steps"]) == len(bundle.program.steps)
    assert manifest["param_bytes"] == len(bundle.files["params.bin"])
    assert manifest["cost"]["forward_macs"] == 8 * 8 * 4 * 9 + 64 * 4
    assert manifest["source_bytes"] == len(small_cnn(np.random.default_rng(7)))


def test_segments_say_where_their_values_lie_in_the_model_file() -> None:
    from codegen.emit.conftest import training

    bundle = training()
    model = bundle.files["model.tflite"]
    graph = read_model(model, "small")
    segments = json.loads(bundle.files["manifest.json"])["segments"]
    assert [segment["kind"] for segment in segments] == ["bias", "weight"]
    for described, segment in zip(segments, bundle.program.segments, strict=True):
        start = described["tflite_offset"]
        raw = model[start : start + described["tflite_bytes"]]
        (data,) = [t.data for t in graph.tensors if t.name == described["name"]]
        assert data is not None
        assert raw == data.tobytes()
        values = np.frombuffer(bundle.files["params.bin"], segment.initial.dtype,
                               described["count"], described["offset"])  # fmt: skip
        np.testing.assert_array_equal(values, segment.initial.reshape(-1))


def test_the_update_header_has_the_size_that_the_wire_gives_it() -> None:
    schema = Path(__file__).parents[3] / "tools" / "schema" / "wire.toml"
    fields = tomllib.loads(schema.read_text())["record"]["UpdateHeader"]["fields"]
    assert sum(int(field[1][1:]) // 8 for field in fields) == UPDATE_HEADER_BYTES


def test_a_board_that_is_too_small_is_told_before_anything_is_written() -> None:
    model = small_cnn(np.random.default_rng(7))
    needed = generate(model, "small").memory.ram_bytes
    generate(model, "small", board_budget=Budget(flash_bytes=10_000, ram_bytes=needed))
    with pytest.raises(BudgetError, match="1 bytes of RAM more"):
        generate(model, "small", board_budget=Budget(flash_bytes=10_000, ram_bytes=needed - 1))


def test_a_model_of_two_inputs_is_refused_by_their_names() -> None:
    made = ModelBuilder()
    for _ in range(3):
        made.tensor((1, 4), 0.1, 0)
    made.op("ADD", [0, 1], [2])
    with pytest.raises(UnsupportedError, match="2 inputs: t0, t1"):
        generate(made.build([0, 1], [2]), "two")


def test_a_model_that_does_not_read_its_input_is_refused() -> None:
    made = ModelBuilder()
    made.tensor((1, 4), 0.1, 0)
    made.tensor((1, 4), 0.1, 0, data=np.ones((1, 4), np.int8))
    made.tensor((1, 4), 0.1, 0)
    made.op("ADD", [1, 1], [2])
    with pytest.raises(UnsupportedError, match='nothing reads input "t0"'):
        generate(made.build([0], [2]), "deaf")


def test_writing_replaces_an_older_bundle(tmp_path: Path, bundle: Bundle) -> None:
    target = tmp_path / "deep" / "bundle"
    bundle.write(target)
    (target / "stale").touch()
    bundle.write(target)
    assert sorted(path.name for path in target.iterdir()) == FILES
    assert (target / "model.c").read_bytes() == bundle.files["model.c"]
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]


def test_writing_leaves_other_directories_alone(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BundleWriteError, match="something other than a bundle"):
        bundle.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "model.h":
            raise OSError(28, "No space left on device", str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BundleWriteError, match="No space left on device"):
        bundle.write(target)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_cannot_be_replaced_stays(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    bundle.write(target)
    real = Path.rename

    def refuse(path: Path, other: Path) -> Path:
        if other == target and not path.name.endswith(".old"):
            raise OSError(5, "Input/output error", str(path))
        return real(path, other)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleWriteError, match="Input/output error"):
        bundle.write(target)
    assert sorted(path.name for path in target.iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
