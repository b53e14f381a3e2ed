# SPDX-License-Identifier: Apache-2.0
"""Tests, the boards they run on, and the account of how they went."""

import pathlib
import time
import traceback

from board import Board, BoardError
from host import host_state


class Failed(Exception):
    """Something is not as it must be."""


def equal(what, found, expected):
    if found != expected:
        raise Failed(f"{what}: found {found!r}, expected {expected!r}")


def at_most(what, found, limit):
    if not found <= limit:
        raise Failed(f"{what}: {found}, must be at most {limit}")


def at_least(what, found, limit):
    if not found >= limit:
        raise Failed(f"{what}: {found}, must be at least {limit}")


def true(what, found, context=""):
    if not found:
        raise Failed(f"{what}: no\n{context}")


ALL = []


class Test:
    """One check, counted as one. Its function gets the board, or nothing if its kind is None."""

    def __init__(self, suite, kind, function, name):
        self.suite = suite
        self.kind = kind
        self.function = function
        self.name = name


def test(suite, kind):
    """Registers a function as a test of this suite; its docstring is its name."""

    def register(function):
        ALL.append(Test(suite, kind, function, function.__doc__.strip().rstrip(".")))
        return function

    return register


def matching(suite, pattern):
    """The tests of a suite whose names contain the pattern."""
    return [test for test in ALL if test.suite == suite and pattern in test.name]


class Run:
    """Runs the tests of a suite; tests with the same kind of board share one until one fails."""

    def __init__(self, suite, image, archive, logs, pattern):
        self.tests = matching(suite, pattern)
        self.suite, self.image, self.archive = suite, image, archive
        self.logs = pathlib.Path(logs)
        self.results = open(self.logs / f"{suite}.results", "w", encoding="utf-8")
        self.board = self.idle = None
        self.failures = 0

    def all(self):
        kinds = list(dict.fromkeys(test.kind for test in self.tests))
        for kind in kinds:
            for test_ in (test for test in self.tests if test.kind == kind):
                self.one(test_)
            self.drop_board()
        self.results.close()
        return self.failures

    def drop_board(self):
        if self.board:
            self.board.close()
        self.board = None

    def take_board(self, kind):
        if kind is None or self.board:
            return
        name = "-".join((self.suite, kind.name, *kind.options, *kind.words)).replace("/", "_")
        self.board = Board(kind, self.archive, self.image, self.logs / f"{name[:80]}.serial.log")
        self.idle = host_state(self.board)

    def one(self, test_):
        begun = time.monotonic()
        try:
            self.take_board(test_.kind)
            test_.function(*([self.board] if test_.kind else []))
            if test_.kind:
                equal("what the test left on the host", host_state(self.board), self.idle)
        except (Failed, BoardError) as error:
            self.record(test_, begun, str(error), traceback.format_exc())
        except Exception as error:  # a defect of the test itself is a failure too
            self.record(test_, begun, f"{type(error).__name__}: {error}", traceback.format_exc())
        else:
            self.record(test_, begun)

    def record(self, test_, begun, failure=None, trace=""):
        seconds = time.monotonic() - begun
        print(f"  {'FAILED' if failure else 'ok    '} {test_.name} ({seconds:.1f} s)", flush=True)
        self.results.write(f"{'fail' if failure else 'pass'} {test_.name}\n")
        self.results.flush()
        if failure is None:
            return
        self.failures += 1
        place = [line for line in trace.splitlines() if 'File "' in line and "/suite.py" not in line]
        print("    | " + "\n".join([failure, *place[-2:]]).replace("\n", "\n    | "), flush=True)
        if test_.kind:
            self.drop_board()
