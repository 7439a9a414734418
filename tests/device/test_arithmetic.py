# SPDX-License-Identifier: Apache-2.0
"""What firmware/port/lx106 multiplies and divides by hand, against Python's integers."""

from __future__ import annotations

import ctypes
import random
import subprocess
from itertools import product

import pytest

from fleetgrad import paths
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler

WORDS = [0, 1, 2, 3, 7, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, 0xFFFFFFFF]
LONGS = [*WORDS, 1 << 32, (1 << 32) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    try:
        compiler = find_compiler("host")
    except ToolError as error:
        pytest.skip(error.what)
    output = tmp_path_factory.mktemp("arithmetic") / "arithmetic.so"
    source = paths.firmware() / "port" / "lx106" / "arithmetic.c"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [*compiler.command, *flags, str(source), "-o", str(output)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(output))


def pairs(values: list[int], bits: int) -> list[tuple[int, int]]:
    dice = random.Random(5)
    some = [dice.getrandbits(dice.randint(1, bits)) for _ in range(4000)]
    return [*product(values, values), *zip(some[::2], some[1::2], strict=True)]


def signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def test_products(library: ctypes.CDLL) -> None:
    widening, multiply = library.__umulsidi3, library.__muldi3
    widening.argtypes, widening.restype = [ctypes.c_uint32] * 2, ctypes.c_uint64
    multiply.argtypes, multiply.restype = [ctypes.c_uint64] * 2, ctypes.c_uint64
    for a, b in pairs(WORDS, 32):
        assert widening(a, b) == a * b
    for a, b in pairs(LONGS, 64):
        assert multiply(a, b) == a * b % (1 << 64)


def test_unsigned_quotients_and_rests(library: ctypes.CDLL) -> None:
    for bits, kind, values in ((32, ctypes.c_uint32, WORDS), (64, ctypes.c_uint64, LONGS)):
        divide = library.__udivsi3 if bits == 32 else library.__udivdi3
        divide.argtypes, divide.restype = [kind] * 2, kind
        for a, b in pairs(values, bits):
            assert divide(a, b) == (a // b if b else (1 << bits) - 1)
    library.__umodsi3.argtypes, library.__umodsi3.restype = [ctypes.c_uint32] * 2, ctypes.c_uint32
    for a, b in pairs(WORDS, 32):
        assert library.__umodsi3(a, b) == (a % b if b else a)


def test_signed_quotients_and_rests_go_towards_zero(library: ctypes.CDLL) -> None:
    for name in ("__divsi3", "__modsi3"):
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_int32] * 2, ctypes.c_int32
    for a, b in ((signed(x), signed(y)) for x, y in pairs(WORDS, 32)):
        if b == 0 or (a, b) == (-(1 << 31), -1):
            continue
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        assert library.__divsi3(a, b) == quotient
        assert library.__modsi3(a, b) == a - quotient * b
