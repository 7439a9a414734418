# SPDX-License-Identifier: Apache-2.0
"""Builds firmware: a bundle, the runtime and a board's port become an image with known sizes."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleetgrad import paths
from fleetgrad.boards import Board
from fleetgrad.errors import BoardError, BundleError, ToolError
from fleetgrad.toolchain.compilers import Compiler, find_compiler, native_flags
from fleetgrad.toolchain.elf import Elf
from fleetgrad.toolchain.objects import Object, Unit, compile_all, run_tool
from fleetgrad.toolchain.regions import PIECES, Assignment, assign
from fleetgrad.toolchain.sources import headers_of, needed_sources
from fleetgrad.toolchain.stack import CallGraph, StackBound, bound_stack, read_callgraphs

# Shared libraries of the host, and the ports they are made of.
LIBRARIES = {"library": ("virtual",), "fleet": ("virtual", "fleet")}
APPS = ("node", "bench", *LIBRARIES)

BASE_FLAGS = (
    "-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-fdata-sections",
)  # fmt: skip
# Where a chip's time goes: loops, worth a few bytes more. Moving loads far ahead of where they are
# needed makes GCC run out of registers.
KERNEL_FLAGS = ("-O2", "-fno-schedule-insns")
# A million devices are worth what this machine can do; integers come out the same.
FLEET_FLAGS = ("-O3", "-DFG_WIDE_LOOPS")
# Kernels compiled anew for the sizes of this very model: worth a third of the time. (Other
# compilers need linkers of their own for it.)
LINK_TIME_FLAGS = ("-flto", "-ffat-lto-objects")
SANITIZE_FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")

# RISC-V's and Xtensa's calling conventions ask for it; Arm's for 8.
STACK_ALIGNMENT = 16
# The descriptor in model.c whose pointers are the firmware's only indirect calls.
_DESCRIPTOR = ".rodata.fg_generated_model"
_VECTORS = ".vectors"


@dataclass(frozen=True)
class Image:
    """A built firmware. All sizes in bytes.

    Attributes:
        path: ELF file, executable or shared library.
        board: Id of the board.
        app: ``node``, ``bench``, ``library`` or ``fleet``.
        text_bytes: Code and the runtime's own tables, without the model's constants.
        weights_bytes: The model's constants: weights, tables, initial parameters, descriptor.
        data_bytes: Initialised variables.
        bss_bytes: Zeroed and uninitialised variables, without the stack.
        stack_bytes: Bound of the stack over all paths; 0 where an operating system provides it.
        stack_reserved_bytes: What the linker set aside for it: the bound, rounded up to 16 bytes.
        stack_path: The calls that need that much.
        digest: SHA-256, hex, of the file.
        firmware_hash: What HELLO reports: the first 4 bytes of the SHA-256 of all sources.
        places: The memory's name, by large array; empty where the board has but one memory.
        region_bytes: Variables that lie in other memories than the main one.
    """

    path: Path
    board: str
    app: str
    text_bytes: int
    weights_bytes: int
    data_bytes: int
    bss_bytes: int
    stack_bytes: int
    stack_reserved_bytes: int
    stack_path: tuple[str, ...]
    digest: str
    firmware_hash: int
    places: Mapping[str, str] = field(default_factory=dict)
    region_bytes: int = 0

    @property
    def ram_bytes(self) -> int:
        """Main memory in all, the reserved stack included."""
        return self.data_bytes + self.bss_bytes + self.stack_reserved_bytes

    @property
    def flash_bytes(self) -> int:
        """Flash in all."""
        return self.text_bytes + self.weights_bytes + self.data_bytes


def build_image(
    bundle_dir: Path,
    board: Board,
    app: str,
    out_dir: Path,
    *,
    own: Path | None = None,
    sanitize: bool = False,
) -> Image:
    """Compiles and links one firmware.

    Args:
        bundle_dir: Folder with ``model.c`` and ``model.h``.
        board: What it is for.
        app: ``node`` (a fleet's device), ``bench`` (boards under emulation: counts instructions),
            ``library`` (the host: devices in process), ``fleet`` (the host: whole rounds of many).
        out_dir: Where the image goes; created where missing.
        own: Folder with the C files of a firmware of the user's own, in place of the node's.
        sanitize: Host only: with AddressSanitizer and UndefinedBehaviorSanitizer.

    Returns:
        The image with its sizes. Two builds of the same sources are byte for byte the same.

    Raises:
        ToolError: When a compiler is missing, a source does not compile, or the firmware needs
            more stack than the board reserves.
        BundleError: When the bundle has no model, or the user's firmware no C file.
        BoardError: When the board cannot run this app, or the image does not fit its memory.
    """
    _check_request(bundle_dir, board, app, sanitize=sanitize)
    if own is not None and not sorted(own.glob("*.c")):
        raise BundleError("there is no C file", where=str(own), expected="a firmware's main.c")
    compiler = find_compiler(board.compiler.family)
    main = paths.firmware() / "app" / app if own is None else own.resolve()
    units, firmware_hash = _units(bundle_dir, board, app, compiler, main, sanitize=sanitize)
    objects = compile_all(compiler, units, paths.cache())
    model = Elf(next(obj.path for obj in objects if obj.path.stem == "model"))
    stack = StackBound(0, ()) if board.hosted else _bound_stack(board, app, objects, model)
    regions = _assign(board, objects, stack.bytes)
    path = _link(
        compiler, board, app, objects, out_dir,
        stack_bytes=stack.bytes, sanitize=sanitize, regions=regions,
    )  # fmt: skip
    sizes = _sizes(path, model, hosted=board.hosted)
    return Image(
        path=path,
        board=board.id,
        app=app,
        text_bytes=sizes["text"],
        weights_bytes=sizes["weights"],
        data_bytes=sizes["data"],
        bss_bytes=sizes["bss"],
        stack_bytes=stack.bytes,
        stack_reserved_bytes=sizes["stack"],
        stack_path=stack.path,
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        firmware_hash=firmware_hash,
        places=regions.places,
        region_bytes=sizes["regions"],
    )


def _assign(board: Board, objects: list[Object], stack_bytes: int) -> Assignment:
    """Where the app's large arrays go; nowhere in particular on a board with one memory."""
    if not board.regions:
        return Assignment((), {})
    pieces: dict[str, int] = {}
    taken = stack_bytes
    for obj in objects:
        for section in Elf(obj.path).sections:
            piece = section.name.removeprefix(".bss.")
            if obj.path.stem == "main" and piece in PIECES:
                pieces[piece] = section.size
            elif section.allocated and section.writable:
                taken += section.size + 8  # and what alignment may cost
    return assign(board, pieces, taken)


def _check_request(bundle_dir: Path, board: Board, app: str, *, sanitize: bool) -> None:
    if not (bundle_dir / "model.c").is_file():
        raise BundleError(
            "the bundle has no model.c", where=str(bundle_dir), hint="fleetgrad build makes one"
        )
    wrong = ""
    if app not in APPS:
        wrong = f"no firmware is called {app!r}"
    elif app in LIBRARIES and not board.hosted:
        wrong = f"{board.id} is a chip: it runs no shared library"
    elif app == "bench" and board.qemu is None:
        wrong = f"{board.id} has no emulator: nothing can count its instructions"
    elif sanitize and not board.hosted:
        wrong = f"{board.id} is a chip: it has no room for sanitizers"
    if wrong:
        raise BoardError(wrong, where=board.id, expected=f"one of {', '.join(APPS)}")


def _units(
    bundle_dir: Path, board: Board, app: str, compiler: Compiler, main: Path, *, sanitize: bool
) -> tuple[list[Unit], int]:
    """What to compile, and the hash that the firmware reports of itself."""
    firmware = paths.firmware()
    port = _port_folders(board, app)
    roots = [bundle_dir / "model.c", *(file for part in port for file in sorted(part.glob("*.c")))]
    if app not in LIBRARIES:
        roots += sorted(main.glob("*.c"))
    sources = needed_sources(roots, sorted((firmware / "src").rglob("*.c")))
    folders = (firmware / "include", bundle_dir.resolve(), *port, board.folder)
    flags = [*BASE_FLAGS, *board.compiler.flags]
    if not board.hosted and not board.store_bytes:
        flags.append("-DFG_NODE_FLASH=0")  # nothing outlives a reset: no code for it either
    if app in LIBRARIES:
        flags += ["-fPIC", "-fvisibility=hidden"]
    if app == "fleet":
        flags += [*FLEET_FLAGS, *native_flags(compiler), *_link_time(compiler)]
    if sanitize:
        flags += SANITIZE_FLAGS
    files = {path.resolve() for path in sources}
    for source in sources:
        files.update(headers_of(source, folders))
    hot = {firmware / "src" / part for part in ("kernels", "train")}
    kernel_flags = () if board.hosted else KERNEL_FLAGS
    digest = hashlib.sha256(" ".join((*flags, *kernel_flags)).encode())
    for path in sorted(files, key=lambda path: (path.name, str(path))):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    firmware_hash = int.from_bytes(digest.digest()[:4], "little")
    identity = f"-DFG_FIRMWARE_HASH=0x{firmware_hash:08x}U"
    units = []
    for source in sources:
        own = [identity] if source.parent == main else []
        if hot.intersection(source.parents):
            own += kernel_flags
        units.append(Unit(source.resolve(), (*flags, *own), folders))
    return units, firmware_hash


def _link_time(compiler: Compiler) -> tuple[str, ...]:
    return LINK_TIME_FLAGS if compiler.kind == "gcc" else ()


def _bench_extra(board: Board, app: str) -> int:
    """The bench has no data image: more room for weights, unless its job lies there."""
    job = board.qemu.job_address if board.qemu else 0
    image = range(board.image_address, board.image_address + board.image_bytes)
    return len(image) if app == "bench" and job not in image else 0


def _port_folders(board: Board, app: str) -> tuple[Path, ...]:
    names = LIBRARIES.get(app, board.port)
    return tuple(paths.firmware() / "port" / name for name in names)


def _link(
    compiler: Compiler,
    board: Board,
    app: str,
    objects: list[Object],
    out_dir: Path,
    *,
    stack_bytes: int,
    sanitize: bool,
    regions: Assignment,
) -> Path:
    name = f"fleetgrad-{app}" + (".so" if app in LIBRARIES else "" if board.hosted else ".elf")
    command = [*compiler.command, *board.compiler.flags, "-Wl,--gc-sections", "-Wl,--build-id=none"]
    if app in LIBRARIES:
        command.append("-shared")
    if app == "fleet":
        command += _link_time(compiler)
    if sanitize:
        command += SANITIZE_FLAGS
    if not board.hosted:
        sizes = {
            "FG_FLASH_BYTES": board.flash_bytes + _bench_extra(board, app),
            "FG_RAM_BYTES": board.ram_bytes,
            "FG_STACK_BYTES": -(-stack_bytes // STACK_ALIGNMENT) * STACK_ALIGNMENT,
            "FG_IMAGE_ADDRESS": board.image_address,
            "FG_IMAGE_BYTES": board.image_bytes,
            "FG_KEPT_ADDRESS": board.store_address,
            "FG_KEPT_BYTES": board.store_bytes,
            "FG_JOB_ADDRESS": board.qemu.job_address if board.qemu else 0,
        }
        command += [f"-Wl,--defsym={symbol}={value:#x}" for symbol, value in sizes.items()]
        command += [f"-L{folder}" for folder in _port_folders(board, app)]  # for INCLUDE
        command += ["-T", str(board.folder / "link.ld")]
    command += [str(obj.path) for obj in objects]
    command += board.compiler.link_flags
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out_dir, prefix=".link-") as fresh:
            output = Path(fresh) / name
            command.append(f"-L{fresh}")
            try:
                Path(fresh, "memory.ld").write_text(regions.memory_script, encoding="utf-8")
                Path(fresh, "regions.ld").write_text(regions.sections_script, encoding="utf-8")
                run_tool([*command, "-o", str(output)], "the firmware does not link", board.id)
            except ToolError as error:
                raise _overflow(error, board) from error
            os.replace(output, out_dir / name)  # noqa: PTH105 - same as Path.replace, says more
    except OSError as error:
        raise ToolError(
            f"the image cannot be written: {error.strerror or error}", where=str(out_dir)
        ) from error
    return out_dir / name


def _overflow(error: ToolError, board: Board) -> ToolError | BoardError:
    """The linker's complaint about memory in the user's words; any other as it is."""
    lines = [line for line in error.what.splitlines() if "overflowed by" in line]
    if not lines:
        return error
    region = lines[0].split("region `")[-1].split("'")[0].lower()
    excess = lines[0].split("overflowed by ")[-1].split()[0]
    return BoardError(
        f"the firmware is {excess} bytes larger than the {region} of {board.id}",
        where=str(board.folder / "board.toml"),
        hint="a smaller model or batch, or a board with more memory",
    )


def _bound_stack(board: Board, app: str, objects: list[Object], model: Elf) -> StackBound:
    """The bound, which is also what gets reserved.

    Raises:
        ToolError: When it cannot be computed, or is more than the board allows.
    """
    graph = CallGraph(
        read_callgraphs(obj.callgraph for obj in objects if obj.callgraph is not None),
        model.pointers(_DESCRIPTOR),
    )
    vectors: list[str] = []
    for obj in objects:
        vectors += Elf(obj.path).pointers(_VECTORS)
    entry = "Reset_Handler"
    handlers = [name for name in dict.fromkeys(vectors) if name not in (entry, "fg_stack_top")]
    stack = bound_stack(graph, entry, handlers, board.compiler.exception_frame_bytes)
    if stack.bytes > board.stack_bytes:
        raise ToolError(
            f"the {app} firmware may need {stack.bytes} bytes of stack",
            where=" -> ".join(stack.path),
            expected=f"at most the {board.stack_bytes} bytes that {board.id} allows",
            hint=f"raise memory.stack_bytes in {board.folder / 'board.toml'}",
        )
    return stack


def _sizes(path: Path, model: Elf, *, hosted: bool) -> dict[str, int]:
    """Bytes of each kind of section of a linked image."""
    sizes = dict.fromkeys(("text", "weights", "data", "bss", "stack", "regions"), 0)
    for section in Elf(path).sections:
        if not section.allocated:
            continue
        if section.name == ".stack":
            kind = "stack"
        elif section.name.startswith(".fg_") and section.writable:
            kind = "regions"
        elif section.name == ".weights":
            kind = "weights"
        elif section.writable:
            kind = "bss" if section.empty_in_file else "data"
        else:
            kind = "text"
        sizes[kind] += section.size
    if hosted:
        # No linker script of ours sorts a host's sections: take the model's from its object.
        constants = [s for s in model.sections if s.allocated and not s.executable]
        sizes["weights"] = sum(s.size for s in constants if s.name.startswith((".rodata", ".data")))
        sizes["text"] = max(0, sizes["text"] - sizes["weights"])
    return sizes
