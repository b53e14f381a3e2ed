# SPDX-License-Identifier: Apache-2.0
"""A guest that does what no operating system does."""

import re

from board import BoardKind
from host import Finished, bound, configuration
from suite import at_least, at_most, equal, test, true

VIRT = BoardKind("virt")


@test("system-virt", VIRT)
def hostile(board):
    """Every access a guest can make: the machine lives, and counts the aborts as the guest does."""
    with bound(board):
        run = Finished(board, configuration("mode=hostile,interrupts count=200"), 300)
    equal("exit status", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith("guest: ok hostile,interrupts"), run)
    total = run.lines("hostile accesses=")[-1]
    exits = run.statistics["vcpu_exits"]
    # Each of these became an abort in the guest; some of the guest's aborts are the CPU's own.
    at_least("accesses that cannot be decoded", exits["undecodable"], 1000)
    at_most("accesses that cannot be decoded", exits["undecodable"], int(total["external"]))
    at_least("accesses where nothing is", run.statistics["refused_accesses"], 1000)
    equal("SErrors in the guest", total["serror"], "0")
    at_most("lines on stderr", len(run.errors.splitlines()), 24)


@test("system-virt", VIRT)
def flood(board):
    """8 KiB of console output, twice what is buffered, without a pause arrive complete and in order."""
    run = Finished(board, configuration("mode=flood bytes=8192", platform=()), 300)
    equal("exit status", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith("guest: ok flood"), run)
    numbers = re.findall(r"^\.{40}flood (\d+)$", run.output, re.M)
    equal("lines", [int(number) for number in numbers],
          [10**15 + number for number in range(8192 // 64)])
