# SPDX-License-Identifier: Apache-2.0
"""Sets a checkout up: `.venv` with the pinned packages, and the cross compiler and emulator.

Only the standard library is used, and only `.venv` and, through apt, the machine's packages are
written. Running it again is a no-op of a few milliseconds until a lock file changes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST_PYTHON = (3, 11)

# What a Debian or Ubuntu package is needed for: (a program it brings, package, what falls back).
DEMO_TOOLS = (
    ("arm-none-eabi-gcc", "gcc-arm-none-eabi", "no Cortex-M build: boards run as native processes"),
    ("qemu-system-arm", "qemu-system-arm", "no emulation: boards run as native processes"),
)
TEST_TOOLS = (
    ("gcc", "gcc", "native builds use cc, clang or ziglang; none found means they are skipped"),
    ("cppcheck", "cppcheck", "`make lint` leaves cppcheck out"),
    ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf", "tests on a RISC-V core are skipped"),
    ("xtensa-lx106-elf-gcc", "gcc-xtensa-lx106", "tests on an Xtensa core are skipped"),
    ("qemu-system-riscv32", "qemu-system-misc", "tests on RISC-V and Xtensa cores are skipped"),
    ("mosquitto_passwd", "mosquitto", "tests with a real MQTT broker are skipped"),
    ("openssl", "openssl", "tests with TLS are skipped"),
)
# Libraries that come with a program above and have no program of their own.
COMPANIONS = {
    "gcc-arm-none-eabi": ("libnewlib-arm-none-eabi", "binutils-arm-none-eabi"),
    "gcc": ("libc6-dev",),
    "gcc-riscv64-unknown-elf": ("picolibc-riscv64-unknown-elf",),
    "gcc-xtensa-lx106": ("picolibc-xtensa-lx106-elf",),
    "mosquitto": ("libmosquitto-dev",),
}


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def say(text: str) -> None:
    print(text, flush=True)


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command, keeping its output for an error message."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )


# --- system packages ---------------------------------------------------------------------------


def privilege() -> list[str] | None:
    """What makes apt work: no prefix for root, sudo where it asks no password, else None."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run(["sudo", "-n", "true"]).returncode == 0:
        return ["sudo", "-n"]
    return None


def apt_install(prefix: list[str], packages: list[str]) -> str:
    """Installs packages, refreshing the lists once; returns "" or the end of apt's output."""
    install = [
        *prefix, "env", "DEBIAN_FRONTEND=noninteractive",
        "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages,
    ]  # fmt: skip
    first = run(install)
    if first.returncode == 0:
        return ""
    run([*prefix, "apt-get", "update", "-q"])
    second = run(install)
    return "" if second.returncode == 0 else "\n".join(second.stdout.splitlines()[-3:])


def missing_tools(tools: tuple[tuple[str, str, str], ...]) -> list[tuple[str, str, str]]:
    return [tool for tool in tools if shutil.which(tool[0]) is None]


def set_up_tools(tools: tuple[tuple[str, str, str], ...]) -> None:
    """Installs the programs that are missing, or says what happens without them."""
    missing = missing_tools(tools)
    if not missing:
        return
    prefix = privilege()
    reason = "neither root nor password-less sudo with apt-get"
    if os.environ.get("FLEETGRAD_NO_APT"):
        prefix, reason = None, "FLEETGRAD_NO_APT is set"
    if prefix is not None:
        packages = [package for _, package, _ in missing]
        packages += [name for package in packages for name in COMPANIONS.get(package, ())]
        say(f"apt: installing {' '.join(packages)}")
        reason = apt_install(prefix, packages)
    for program, package, fallback in missing_tools(tools):
        say(f"{program}: missing ({reason}); {fallback}. To have it: apt install {package}")


# --- Python ------------------------------------------------------------------------------------


def stamp_of(lock: Path) -> str:
    """Changes whenever what this lock file asks for must be installed again."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (lock, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return f"{lock.name} {digest.hexdigest()}"


def venv_python() -> Path:
    return VENV / "bin" / "python"


def create_venv() -> None:
    """Creates `.venv`, bringing Debian's split-off venv package in first where it is missing."""
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        prefix = privilege()
        trouble = "no root or sudo" if prefix is None else apt_install(prefix, [package])
        if trouble:
            raise SetupError(
                f"Python {sys.version.split()[0]} has no ensurepip, and {package} could not be"
                f" installed ({trouble})\n  try: apt install python3-venv, then run this again"
            )
    say("venv: creating .venv")
    made = run([sys.executable, "-m", "venv", str(VENV)])
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(f"cannot create {VENV}\n{made.stdout.strip()}")


def set_up_python(locks: list[Path]) -> None:
    """Installs the locked packages and this checkout (editable) into `.venv`."""
    stamp_file = VENV / ".fleetgrad-setup"
    known = stamp_file.read_text().splitlines() if stamp_file.exists() else []
    wanted = [stamp_of(lock) for lock in locks]
    if set(wanted) <= set(known) and venv_python().exists():
        return
    if not venv_python().exists():
        create_venv()
    pip = [str(venv_python()), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    requirements = [part for lock in locks for part in ("-r", str(lock))]
    say(f"pip: installing {' and '.join(lock.name for lock in locks)}")
    for command in (
        [*pip, *requirements],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
    ):
        done = run(command)
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-6:])
            raise SetupError(
                f"pip failed:\n{tail}\n  try: check the network, or PIP_INDEX_URL / PIP_FIND_LINKS,"
                " then run this again"
            )
    stamp_file.write_text("\n".join(sorted({*known, *wanted})) + "\n")


def need_a_compiler() -> list[Path]:
    """The lock file of PyPI's compiler, when no other builds for this machine or a board."""
    board = shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")
    native = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    if board or native:
        return []
    say("no C compiler found: taking ziglang (large, about 100 MB packed)")
    return [ROOT / "requirements-zig.lock"]


def main() -> int:
    """Entry point; 0 when the checkout is ready, 1 with one message when not."""
    parser = argparse.ArgumentParser(description="Sets a checkout up.")
    parser.add_argument("--test", action="store_true", help="also what lint and the tests need")
    parser.add_argument("--no-system", action="store_true", help="do not install with apt")
    options = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        print(
            f"fleetgrad needs Python {'.'.join(map(str, OLDEST_PYTHON))} or newer, this is"
            f" {sys.version.split()[0]}\n  try: make setup PYTHON=python3.11",
            file=sys.stderr,
        )
        return 1
    try:
        if not options.no_system:
            set_up_tools(DEMO_TOOLS + (TEST_TOOLS if options.test else ()))
        locks = [ROOT / "requirements.lock"]
        if options.test:
            locks.append(ROOT / "requirements-test.lock")
        set_up_python(locks + need_a_compiler())
    except SetupError as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up interrupted; run it again to go on", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
