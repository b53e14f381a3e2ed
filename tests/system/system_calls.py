# SPDX-License-Identifier: Apache-2.0
"""What a running machine asks of the host's kernel: nothing for an interrupt, and never epoll."""

import re

from board import BoardKind
from host import Machine, bound, configuration, host_interrupts, statistics
from suite import at_least, at_most, equal, test, true

VIRT = BoardKind("virt")
QUIET_TRAFFIC = configuration("mode=traffic every=10000000")
INTERRUPTS = 2000


def calls(trace):
    """{system call: count} of strace's output; a call that was interrupted by the tracer counts too."""
    counts = {}
    for name in re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[ (]", trace, re.M):
        counts[name] = counts.get(name, 0) + 1
    return counts


@test("system-virt", VIRT)
def event_loop(board):
    """A whole run with console input uses io_uring, and neither epoll, poll nor select."""
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=echo"))
        result = board.run("{ sleep 6; echo hello; echo quit; } | strace -f -o /tmp/trace "
                           "microvm --config /tmp/vm.toml 2>&1", 120)
    true("the guest is content", "echo:hello" in result.output and "guest: ok" in result.output,
         result)
    seen = calls(board.read("cut -c1-60 /tmp/trace", 120))
    true("io_uring is set up", seen.get("io_uring_setup"), seen)
    at_least("io_uring_enter", seen.get("io_uring_enter", 0), 3)
    others = {name: count for name, count in seen.items()
              if re.match(r"epoll|p?poll|p?select", name)}
    equal("calls that wait otherwise", others, {})


def count_calls(board, interrupts):
    """System calls of all threads while at least so many interrupts are taken; and how many were."""
    board.read("strace -f -o /tmp/trace -p $(pidof microvm) 2>/tmp/strace.err & sleep 1; "
               "wc -l </tmp/trace >/tmp/before")
    before = host_interrupts(board)
    taken = 0
    for _ in range(60):
        board.read("sleep 0.5")
        taken = host_interrupts(board) - before
        if taken >= interrupts:
            break
    # The trace of a guest that is never quiet grows faster than the serial line takes it.
    window = board.read("n=$(wc -l </tmp/trace); kill -INT $(pidof strace); sleep 0.3\n"
                        "sed -n \"$(($(cat /tmp/before) + 1)),${n}p\" /tmp/trace | head -n 1000 | "
                        "cut -c1-100")
    return window.splitlines(), taken


@test("system-virt", VIRT)
def none_for_an_interrupt(board):
    """2,000 interrupts under strace: no thread makes more than a handful of system calls."""
    with bound(board):
        machine = Machine(board, QUIET_TRAFFIC)
        machine.wait_for("^ready")
        seen, taken = count_calls(board, INTERRUPTS)
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
        device = statistics(board)["devices"][0]
    at_least("interrupts", taken, INTERRUPTS)
    at_most("system calls: " + "; ".join(seen[:10]), len(seen), 10)
    equal("userspace_irqs", device["userspace_irqs"], 0)


@test("system-virt", VIRT)
def a_trapped_access_is_seen(board):
    """The same measure sees the calls of a guest that does use the VMM."""
    with bound(board):
        machine = Machine(board, configuration("mode=traffic every=1"))
        machine.wait_for("^ready")
        seen, taken = count_calls(board, 20)
        machine.signal("TERM")
        machine.wait()
    at_least("interrupts", taken, 20)
    at_least("system calls", len(seen), 100)


@test("system-virt", VIRT)
def no_wake_up(board):
    """2,000 interrupts: the main thread is not woken once for them, nor the vCPU thread put to sleep."""
    with bound(board):
        machine = Machine(board, QUIET_TRAFFIC)
        machine.wait_for("^ready")
        pid = machine.pid()
        switches = f"awk '/^voluntary/ {{ print $2 }}' /proc/{pid}/task/*/status"
        board.read("sleep 0.5")
        before, start = board.read(switches).split(), host_interrupts(board)
        taken = 0
        for _ in range(60):
            board.read("sleep 0.5")
            taken = host_interrupts(board) - start
            if taken >= INTERRUPTS:
                break
        after = board.read(switches).split()
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
    at_least("interrupts", taken, INTERRUPTS)
    at_most("wake-ups", sum(map(int, after)) - sum(map(int, before)), 10)
