# SPDX-License-Identifier: Apache-2.0
"""Tests, the boards they run on, and the account of how they went."""

import collections
import pathlib
import threading
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
        ALL.append(Test(suite, kind, function, " ".join(function.__doc__.split()).rstrip(".")))
        return function

    return register


def matching(suite, pattern):
    """The tests of a suite whose names contain the pattern."""
    return [test for test in ALL if test.suite == suite and pattern in test.name]


class Queue:
    """Tests that wait, by the kind of board they need; for several workers."""

    def __init__(self, tests):
        self._lock = threading.Lock()
        self._waiting = {}
        for test_ in tests:
            self._waiting.setdefault(test_.kind, collections.deque()).append(test_)
        self._users = collections.Counter()

    def take(self, board_kind):
        """The next test for a worker whose last one needed this kind: one of the same, else of a kind
        that nobody has, else any. Tests without a board stay in one hand. Nothing: none is left."""
        with self._lock:
            waiting = [kind for kind, tests in self._waiting.items() if tests]
            kind = board_kind
            if kind not in waiting:
                self._users[board_kind] -= 1
                free = [kind for kind in waiting if not self._users[kind]]
                choice = free or [kind for kind in waiting if kind is not None]
                if not choice:
                    return None
                kind = choice[0]
                self._users[kind] += 1
            return self._waiting[kind].popleft()


class Run:
    """Runs the tests of a suite with some boards side by side."""

    def __init__(self, suite, image, archive, logs, pattern):
        self.suite, self.image, self.archive = suite, image, archive
        self.logs = pathlib.Path(logs)
        self.results = open(self.logs / f"{suite}.results", "w", encoding="utf-8")
        self.queue = Queue(matching(suite, pattern))
        self.failures = 0
        self._lock = threading.Lock()

    def all(self, boards):
        workers = [threading.Thread(target=Worker(self).all, daemon=True) for _ in range(boards)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.results.close()
        return self.failures

    def record(self, test_, seconds, failure=None, trace=""):
        with self._lock:
            print(f"  {'FAILED' if failure else 'ok    '} {test_.name} ({seconds:.1f} s)", flush=True)
            self.results.write(f"{'fail' if failure else 'pass'} {test_.name}\n")
            self.results.flush()
            if failure is None:
                return
            self.failures += 1
            place = [line for line in trace.splitlines()
                     if 'File "' in line and "/suite.py" not in line]
            print("    | " + "\n".join([failure, *place[-2:]]).replace("\n", "\n    | "), flush=True)


class Worker:
    """Runs one test after the other; those with the same kind of board share one until one fails."""

    def __init__(self, run):
        self.run = run
        self.kind = ""  # none that a test has
        self.board = self.idle = None

    def all(self):
        while test_ := self.run.queue.take(self.kind):
            if test_.kind != self.kind:
                self.drop_board()
                self.kind = test_.kind
            self.one(test_)
        self.drop_board()

    def drop_board(self):
        if self.board:
            self.board.close()
        self.board = None

    def take_board(self):
        if not self.kind or self.board:
            return
        kind, run = self.kind, self.run
        name = "-".join((run.suite, kind.name, *kind.options, *kind.words)).replace("/", "_")[:80]
        self.board = Board(kind, run.archive, run.image,
                           run.logs / f"{name}.{threading.get_native_id()}.serial.log")
        self.idle = host_state(self.board)

    def one(self, test_):
        begun = time.monotonic()
        failure, trace = None, ""
        try:
            self.take_board()
            test_.function(*([self.board] if test_.kind else []))
            if test_.kind:
                equal("what the test left on the host", host_state(self.board), self.idle)
        except (Failed, BoardError) as error:
            failure, trace = str(error), traceback.format_exc()
        except Exception as error:  # a defect of the test itself is a failure too
            failure, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
        self.run.record(test_, time.monotonic() - begun, failure, trace)
        if failure:
            self.drop_board()
