# SPDX-License-Identifier: Apache-2.0
"""What is typed reaches the guest, and what the guest says reaches whoever typed."""

import random
import string

from board import BoardKind
from host import bound, configuration
from suite import equal, test, true

VIRT = BoardKind("virt")
TYPED = 5000


def lines_of_text(count):
    """This many bytes in lines, the same in each run."""
    source, lines, left = random.Random(1), [], count
    while left > 0:
        length = min(left, source.randint(1, 60))
        lines.append("".join(source.choices(string.ascii_letters + string.digits,
                                            k=max(1, length - 1))))
        left -= len(lines[-1]) + 1
    return lines


def echoed(output):
    return [line.removeprefix("echo:") for line in output.splitlines()
            if line.startswith("echo:")]


@test("system-virt", VIRT)
def by_pipe(board):
    """5,000 bytes by a pipe, all at once, arrive intact."""
    lines = lines_of_text(TYPED)
    board.write("/tmp/typed", "\n".join(lines) + "\nquit\n")
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=echo"))
        result = board.run("cat /tmp/typed | microvm --config /tmp/vm.toml 2>/tmp/err", 60)
    equal("exit status", result.status, 0)
    equal("lines", echoed(result.output), lines)


@test("system-virt", VIRT)
def by_terminal(board):
    """5,000 bytes typed at a terminal, all at once, arrive intact; its modes come back."""
    lines = lines_of_text(TYPED)
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=echo"))
        before = board.read("stty -a")
        board.start("microvm --config /tmp/vm.toml")
        board.expect("^ready", 30)
        board.type("\n".join(lines) + "\nquit\n")
        result = board.finish("microvm", 60)
        after = board.read("stty -a")
    equal("exit status", result.status, 0)
    equal("lines", echoed(result.output), lines)
    equal("terminal modes", after, before)


@test("system-virt", VIRT)
def escape(board):
    """Ctrl-] q ends the guest; Ctrl-] Ctrl-] types Ctrl-]; the terminal's modes come back."""
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=echo"))
        before = board.read("stty -a")
        board.start("microvm --config /tmp/vm.toml --stats /tmp/stats.json")
        board.expect("^ready", 30)
        board.type("a\x1d\x1db\n")
        board.expect("^echo:a\x1db$", 20)
        board.type("\x1dx")
        board.expect("Ctrl-\\] q ends the guest", 20)
        board.type("\x1dq")
        result = board.finish("microvm", 20)
        after = board.read("stty -a")
    equal("exit status", result.status, 0)
    equal("terminal modes", after, before)
    true("the reason is told", '"console-quit"' in board.read("cat /tmp/stats.json"))


def restored_after(board, signal, status):
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=echo"))
        before = board.read("stty -a")
        board.start(f"(sleep 2; stty -a </dev/ttyAMA0 >/tmp/raw; kill -{signal} $(pidof microvm)) "
                    "</dev/null & microvm --config /tmp/vm.toml")
        board.expect("^ready", 30)
        result = board.finish("microvm", 30)
        during = board.read("cat /tmp/raw")
        after = board.read("stty -a")
    equal("exit status", result.status, status)
    true("the terminal was raw while it ran", "-icanon" in during, during)
    equal("terminal modes", after, before)


@test("system-virt", VIRT)
def after_sigterm(board):
    """The terminal's modes come back after SIGTERM."""
    restored_after(board, "TERM", 0)


@test("system-virt", VIRT)
def after_sigsegv(board):
    """The terminal's modes come back when microvm dies of SIGSEGV."""
    restored_after(board, "SEGV", 139)


@test("system-virt", VIRT)
def in_background(board):
    """Input from nowhere and no output at all do not disturb a guest."""
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=interrupts count=100"))
        result = board.run("microvm --config /tmp/vm.toml <&- >&- 2>/tmp/err; s=$?; cat /tmp/err; "
                           "(exit $s)", 30)
    equal("exit status", result.status, 0)
