# SPDX-License-Identifier: Apache-2.0
"""Interrupts of a passed-through device, counted by the device, the host and the guest."""

from board import ONE_CPU, WITHOUT_IOMMU, BoardKind
from host import PL031, Finished, Machine, bound, configuration, statistics, host_interrupts
from suite import equal, test, true

VIRT = BoardKind("virt")
COUNT = 2000


def count_everywhere(board, dma, *more, opened=None):
    """The host's count is read while the guest still runs: it goes with the machine.
    `opened`: what the process must have open by then."""
    before = host_interrupts(board)
    with bound(board):
        machine = Machine(board, configuration(
            f"mode=interrupts,spin count={COUNT}", platform=((PL031, dma, *more),)))
        machine.wait_for("^ready")
        if opened:
            files = board.read(
                f"for file in /proc/{machine.pid()}/fd/*; do readlink $file; done").split()
            true(f"{opened} is open", opened in files, files)
        host = host_interrupts(board) - before
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
        console = machine.output()
        figures = statistics(board)
    true("the guest's count", f"interrupts={COUNT} raised={COUNT} spurious=0" in console, console)
    device = figures["devices"][0]
    equal("the host's count", host, COUNT)
    equal("devices[0].interrupts", device["interrupts"], COUNT)
    equal("userspace_irqs", device["userspace_irqs"], 0)
    equal("trapped", (device["trapped_reads"], device["trapped_writes"]), (0, 0))
    equal("mapped_bytes", device["mapped_bytes"], 4096)


@test("system-virt", ONE_CPU)
def with_iommu(board):
    """2,000 interrupts, dma = "iommu": device, host and guest count the same, none in user space."""
    count_everywhere(board, "iommu")


@test("system-virt", WITHOUT_IOMMU)
def without_iommu(board):
    """2,000 interrupts, dma = "none", no IOMMU: device, host and guest count the same."""
    count_everywhere(board, "none")
    errors = board.read("cat /tmp/err")
    true("the kernel is tainted", int(board.read("cat /proc/sys/kernel/tainted")) != 0)
    true("that is told", f"no IOMMU before '{PL031}'" in errors and
         "has tainted the host's kernel" in errors, errors)


@test("system-virt", ONE_CPU)
def group_without_dma(board):
    """dma = "none" for a device that has an IOMMU works too."""
    count_everywhere(board, "none")


def mode(board, cmdline, **options):
    with bound(board):
        run = Finished(board, configuration(cmdline, **options))
    equal("exit status", run.status, 0)
    modes = cmdline.split()[0].removeprefix("mode=")
    true("the guest is content", run.output.rstrip().endswith(f"guest: ok {modes}"), run)
    return run


@test("system-virt", ONE_CPU)
def early(board):
    """A line asserted before the guest's GIC is set up arrives once, and later ones too."""
    run = mode(board, "mode=early count=100")
    equal("guest", run.lines("early")[-1]["interrupts"], run.lines("early")[-1]["raised"])
    equal("spurious", run.lines("early")[-1]["spurious"], "0")
    equal("host and guest", run.statistics["devices"][0]["interrupts"],
          int(run.lines("early")[-1]["interrupts"]))


@test("system-virt", ONE_CPU)
def storm(board):
    """A line that stays asserted interrupts again after each end of interrupt."""
    run = mode(board, "mode=storm count=1000")
    entries = int(run.lines("storm")[-1]["entries"])
    equal("host and guest", run.statistics["devices"][0]["interrupts"], entries)


@test("system-virt", VIRT)
def regions(board):
    """The guest sees the device's region and interrupt as the host has them."""
    run = mode(board, "mode=regions")
    equal("aborts", run.lines("aborts")[-1]["aborts"], "0")
    equal("regions", len(run.lines("reg=")), 1)
    equal("size", int(run.lines("reg=")[0]["size"], 0), 4096)
    # PrimeCell identification, the last word: 0xb1.
    equal("last word", int(run.lines("reg=")[0]["last"], 0), 0xb1)


@test("system-virt", VIRT)
def timer(board):
    """The virtual timer interrupts once for each deadline and never too early."""
    equal("too early", mode(board, "mode=timer count=100").lines("timer")[-1]["too_early"], "0")
