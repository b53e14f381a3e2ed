# SPDX-License-Identifier: Apache-2.0
"""Interrupt lines in every condition: several, many, shared, listed twice, never quiet, stuck."""

import re

from board import ONE_CPU, TOP, BoardKind
from host import (PL031, Finished, Machine, bound, configuration, host_interrupts, line_interrupts,
                  statistics)
from virt_reset import PL031_AT_REST
from suite import at_least, at_most, equal, test, true

VIRT = BoardKind("virt")


def with_tree(name, arguments=None):
    """A board with one CPU whose host's tree is changed by a file of trees/."""
    tree = str(TOP / "tests/system/trees" / f"{name}.dts")
    return BoardKind("virt", ("--smp", "1", "--tree", tree), (), arguments)


def second_uart():
    return ["-serial", "mon:stdio", "-serial", "null"]


SEVERAL = with_tree("several", second_uart)
MANY = with_tree("many_lines")
SHARED = with_tree("shared_lines")
TWO_BLOCKS, MANY_LINES = "9010000.two-blocks", "9010000.many-lines"
TWICE, TAKEN = "9010000.twice", "9030000.taken"
PL031_INTID, PL011_INTID = 34, 40
# INTID 34, then the lines of trees/many_lines.dts.
LINES = 1 + 26 + 178


def poke(board, pid, action, first, last=""):
    """What VFIO lets the owner of a device do to its interrupts (poke.cc)."""
    board.read(f"/t/poke {pid} {action} {first} {last}")


def patient(cmdline):
    """A guest that waits for an interrupt longer than it takes to find that it is stuck."""
    return configuration(cmdline).replace("timeout_ms=20000", "timeout_ms=60000")


def guest_is_content(run, modes):
    equal(f"exit status ({run})", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith(f"guest: ok {modes}"), run)


@test("system-virt", SEVERAL)
def several(board):
    """A device with two regions and two interrupts: each counted by device, host and guest."""
    before = [line_interrupts(board, intid) for intid in (PL031_INTID, PL011_INTID)]
    with bound(board, TWO_BLOCKS):
        run = Finished(board, configuration("mode=several device=test,two-blocks count=1000",
                                            platform=((TWO_BLOCKS, "iommu"),)))
        guest_is_content(run, "several")
        after = [line_interrupts(board, intid) for intid in (PL031_INTID, PL011_INTID)]
    line = run.lines("clock=")[-1]
    equal("guest", (line["clock"], line["uart"], line["spurious"]), ("1000", "1000", "0"))
    equal("host", [now - then for now, then in zip(after, before)], [1000, 1000])
    device = run.statistics["devices"][0]
    equal("devices[0].interrupts", device["interrupts"], 2000)
    equal("userspace_irqs", device["userspace_irqs"], 0)
    equal("mapped_bytes", device["mapped_bytes"], 0x2000)
    equal("trapped", (device["trapped_reads"], device["trapped_writes"]), (0, 0))


@test("system-virt", MANY)
def many(board):
    """A device with 205 interrupts: each is triggered once, and comes once, as itself."""
    with bound(board, MANY_LINES):
        machine = Machine(board, configuration(
            f"mode=lines device=test,many-lines count={LINES}",
            platform=((MANY_LINES, "iommu"),)))
        machine.wait_for(f"^ready lines={LINES}")
        poke(board, machine.pid(), "trigger", 0, LINES - 1)
        equal("exit status", machine.wait(), 0)
        console = machine.output()
    equal("the guest's lines", re.findall("^lines=.*$", console, re.MULTILINE),
          [f"lines=0-{LINES - 1} intids=33-{32 + LINES} interrupts=1",
           f"lines={LINES} interrupts={LINES} spurious=0"])


@test("system-virt", MANY)
def one_of_many(board):
    """The device's own line, beside 204 others: 2,000 interrupts."""
    with bound(board, MANY_LINES):
        run = Finished(board, configuration("mode=interrupts device=test,many-lines count=2000",
                                            platform=((MANY_LINES, "iommu"),)))
    guest_is_content(run, "interrupts")
    equal("host", run.statistics["devices"][0]["interrupts"], 2000)


@test("system-virt", ONE_CPU)
def high_spi(board):
    """SPI 900 of the guest's: 2,000 interrupts."""
    with bound(board):
        run = Finished(board, configuration("mode=interrupts,regions count=2000") + "spi = 900\n")
    guest_is_content(run, "interrupts,regions")
    equal("INTID", run.lines("interrupt=")[0]["intid"], str(900 + 32))
    equal("host", run.statistics["devices"][0]["interrupts"], 2000)


@test("system-virt", SHARED)
def listed_twice(board):
    """A line that its node lists twice: one SPI, listed twice; 2,000 interrupts, none twice."""
    with bound(board, TWICE):
        run = Finished(board, configuration("mode=regions,interrupts device=test,twice count=2000",
                                            platform=((TWICE, "iommu"),)))
    guest_is_content(run, "regions,interrupts")
    equal("INTIDs", [line["intid"] for line in run.lines("interrupt=")], ["33", "33"])
    device = run.statistics["devices"][0]
    equal("host", device["interrupts"], 2000)
    equal("userspace_irqs", device["userspace_irqs"], 0)


@test("system-virt", SHARED)
def taken(board):
    """Refused: a line that the host uses; who has it is said, and without it the device works."""
    with bound(board, TAKEN):
        run = Finished(board, configuration("mode=regions", platform=((TAKEN, "iommu"),)))
        equal("exit status", run.status, 1)
        for text in (f"'{TAKEN}': interrupt 1 is taken", "uart-pl011", "a line cannot be shared",
                     'drop = ["interrupts:1"]'):
            true(text, text in run.errors, run)
        run = Finished(board, configuration("mode=regions device=test,taken", platform=(
            (TAKEN, "iommu", 'drop = ["interrupts:console"]'),)))
        guest_is_content(run, "regions")
        equal("interrupts", len(run.lines("interrupt=")), 1)


@test("system-virt", ONE_CPU)
def nobody_listens(board):
    """A line that is asserted before the guest enables it interrupts the host once, not for ever."""
    before = host_interrupts(board)
    with bound(board):
        machine = Machine(board, configuration("mode=early count=100 wait_us=6000000"))
        for _ in range(100):
            if host_interrupts(board) > before:
                break
            board.read("sleep 0.1")
        board.read("sleep 2")
        equal("host, while the guest does not listen", host_interrupts(board) - before, 1)
        equal("exit status", machine.wait(), 0)
        console = machine.output()
    equal("host", host_interrupts(board) - before, 101)
    true("the guest is content", console.rstrip().endswith("guest: ok early"), console)


@test("system-virt", ONE_CPU)
def never_stops(board):
    """A line that never stops leaves the host, with one CPU, its share of time, and an end."""
    loop = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done"
    with bound(board):
        quiet = board.run(loop, 120).seconds
        machine = Machine(board, configuration("mode=storm count=100000000"))
        machine.wait_for("^ready")
        before = host_interrupts(board)
        busy = board.run(loop, 240).seconds
        at_least("interrupts meanwhile", host_interrupts(board) - before, 100)
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
        figures = statistics(board)["devices"][0]
    equal("userspace_irqs", figures["userspace_irqs"], 0)
    # Two busy tasks on one CPU: twice as long, and room for the host's handler.
    at_most(f"seconds (without the storm {quiet:.2f})", busy, 6 * quiet + 5)


@test("system-virt", ONE_CPU)
def masked_behind_its_back(board):
    """A line that is masked while the guest waits for it is found, logged and unmasked."""
    with bound(board):
        machine = Machine(board, patient("mode=traffic every=1000"))
        machine.wait_for("^traffic=")
        # While the guest has an interrupt in hand the line is masked already, and its end unmasks it.
        for _ in range(20):
            poke(board, machine.pid(), "mask", 0)
            before = host_interrupts(board)
            board.read("sleep 0.5")
            after = host_interrupts(board)
            if after == before:
                break
        equal("interrupts while it is masked", after - before, 0)
        taken_again = 0
        for _ in range(40):
            board.read("sleep 1")
            taken_again = host_interrupts(board) - before
            if taken_again:
                break
        at_least("interrupts after it was unmasked", taken_again, 1)
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
        errors = machine.errors()
        figures = statistics(board)
    true("it is logged", f"{PL031}: interrupt 0 (SPI 1) was still masked on the host" in errors,
         errors)
    equal("rearmed_interrupts", figures["devices"][0]["rearmed_interrupts"], 1)
    at_most("stops of the guest", figures["vcpu_exits"]["interrupted"], 3)


@test("system-virt", ONE_CPU)
def deaf(board):
    """A guest that takes a level for an edge goes on, slowly, and the log says why."""
    with bound(board):
        run = Finished(board, patient("mode=deaf count=3") + PL031_AT_REST, timeout=240)
    guest_is_content(run, "deaf")
    true("it is logged", "the guest takes this level for an edge" in run.errors, run)
    at_least("rearmed_interrupts", run.statistics["devices"][0]["rearmed_interrupts"], 2)
    equal("host", run.statistics["devices"][0]["interrupts"], 3)


@test("system-virt", ONE_CPU)
def slow_guest(board):
    """A guest that is slow to take its interrupt is not taken for one that lost it."""
    with bound(board):
        run = Finished(board, configuration("mode=early count=10 wait_us=25000000") + PL031_AT_REST, timeout=240)
    guest_is_content(run, "early")
    equal("log", run.errors, "")
    equal("rearmed_interrupts", run.statistics["devices"][0]["rearmed_interrupts"], 0)
    equal("host", run.statistics["devices"][0]["interrupts"], 11)
