# SPDX-License-Identifier: Apache-2.0
"""The arm64 executable, as a file and as a program."""

import pathlib
import subprocess

from board import TOP, BoardKind
from suite import at_most, equal, test, true

EXECUTABLE = TOP / "build/arm64/microvm"
SIZE_LIMIT = 5 << 19  # 2.5 MiB


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments, EXECUTABLE], check=True,
                          stdout=subprocess.PIPE, text=True).stdout


@test("arm64", None)
def static_pie():
    """build/arm64/microvm is a position-independent arm64 executable that needs no library."""
    header, segments, dynamic = readelf("-h"), readelf("-l"), readelf("-d")
    true("for arm64", "AArch64" in header, header)
    true("position-independent", "DYN (Position-Independent Executable file)" in header, header)
    true("no interpreter", "INTERP" not in segments, segments)
    true("no library", "NEEDED" not in dynamic, dynamic)
    true("marked as PIE", "PIE" in dynamic, dynamic)


@test("arm64", None)
def hardened():
    """Its stack is not executable, and what the linker relocates is read-only at run time."""
    segments = readelf("-l")
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    true("stack", "RWE" not in stack, stack)
    true("RELRO", "GNU_RELRO" in segments, segments)


@test("arm64", None)
def small():
    """It is stripped, and not larger than 2.5 MiB."""
    true("stripped", ".symtab" not in readelf("-S"))
    at_most("bytes", pathlib.Path(EXECUTABLE).stat().st_size, SIZE_LIMIT)


@test("arm64", BoardKind("versal"))
def starts(board):
    """It starts on a board and says its version, which is the project's."""
    declared = next(line for line in (TOP / "meson.build").read_text().splitlines()
                    if "version:" in line).split("'")[1]
    equal("--version", board.read("microvm --version"), f"microvm {declared}\n")


@test("arm64", BoardKind("versal"))
def is_this_build(board):
    """The image has the executable that was just built."""
    local = subprocess.run(["sha256sum"], stdin=open(EXECUTABLE, "rb"), check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split()[0]
    equal("sha256", board.read("sha256sum <$(which microvm)").split()[0], local)
