# SPDX-License-Identifier: Apache-2.0
"""A host whose interrupt controller is a GICv2: guests have one too."""

from board import BoardKind
from host import Finished, bound, configuration
from refusal import SET_UP, refused, run
from suite import equal, test, true
from virt_interrupts import count_everywhere, mode
from virt_processors import linux, smp
from virt_reboot import reboots

GIC_V2 = BoardKind("virt", ("--gic-v2", "--smp", "1"))  # for exact counts: board.ONE_CPU


@test("system-virt", GIC_V2)
def interrupts(board):
    """GICv2: 2,000 level interrupts, counted alike by device, host and guest, none in user space."""
    count_everywhere(board, "iommu")


@test("system-virt", GIC_V2)
def early(board):
    """GICv2: a line asserted before the guest's GIC is set up arrives once, and later ones too."""
    seen = mode(board, "mode=early count=100")
    equal("guest", seen.lines("early")[-1]["interrupts"], seen.lines("early")[-1]["raised"])


@test("system-virt", GIC_V2)
def storm(board):
    """GICv2: a line that stays asserted interrupts again after each end of interrupt."""
    seen = mode(board, "mode=storm count=1000")
    equal("host and guest", seen.statistics["devices"][0]["interrupts"],
          int(seen.lines("storm")[-1]["entries"]))


@test("system-virt", GIC_V2)
def timer(board):
    """GICv2: the virtual timer interrupts once for each deadline."""
    equal("too early", mode(board, "mode=timer count=100").lines("timer")[-1]["too_early"], "0")


@test("system-virt", GIC_V2)
def two_processors(board):
    """GICv2: two vCPUs, software interrupts reach the second."""
    smp(board, 2)


@test("system-virt", GIC_V2)
def reboot(board):
    """GICv2: 20 reboots; host and guest count the same."""
    counted, host, _ = reboots(board)
    equal("host's count", host, counted)


@test("system-virt", GIC_V2)
def linux_guest(board):
    """GICv2: Linux with two vCPUs sees both."""
    linux(board, 2)


@test("system-virt", GIC_V2)
def eight_at_most(board):
    """GICv2: a ninth vCPU is refused, eight are not."""
    refused(run(board, configuration("mode=off", platform=(), cpus=9)), SET_UP, "cpu.count",
            "9 vCPUs", "8 at most")
    eight = Finished(board, configuration("mode=smp count=10 rounds=1", platform=(), cpus=8))
    equal("exit status", eight.status, 0)
    equal("cpus", eight.lines("cpus")[-1]["cpus"], "8")


@test("system-virt", GIC_V2)
def print_plan(board):
    """GICv2: the plan says which interrupt controller the guest gets."""
    board.write("/tmp/vm.toml", configuration("mode=off"))
    with bound(board):
        plan = board.read("microvm --config /tmp/vm.toml --print-plan")
    true("a GICv2", "# GICv2 CPU interface 0x8010000-0x8011fff" in plan, plan)
