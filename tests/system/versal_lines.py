# SPDX-License-Identifier: Apache-2.0
"""Interrupt lines of the automotive board: one that is listed twice, and edges."""

from board import BoardKind
from host import Machine, bound, configuration, statistics
from suite import equal, test, true
from virt_lines import poke

VERSAL = BoardKind("versal")
# A network controller whose node lists one line twice. Neither is given any memory to reach.
GEM = ("ff0d0000.ethernet", "none", "ignore_dma_signs = true")
SLOT = ("a0000600.virtio_mmio", "none", "ignore_dma_signs = true")


def triggered(board, passed, compatible, count):
    """Has VFIO trigger a device's first interrupt, once at a time; the guest's console, statistics."""
    with bound(board, passed[0]):
        machine = Machine(board, configuration(f"mode=lines device={compatible} count={count}",
                                               platform=(passed,)))
        machine.wait_for("^ready lines=1")
        pid = machine.pid()
        for _ in range(count):
            poke(board, pid, "trigger", 0)
        equal("exit status", machine.wait(), 0)
        return machine.output(), statistics(board)


@test("system-versal", VERSAL)
def listed_twice(board):
    """The network controller's line, listed twice: one SPI for both entries, and it comes once each time."""
    console, figures = triggered(board, GEM, "cdns,gem", 5)
    true("the guest's count", "lines=1 interrupts=5 spurious=0" in console, console)
    equal("userspace_irqs", figures["devices"][0]["userspace_irqs"], 0)
    with bound(board, GEM[0]):
        board.write("/tmp/vm.toml", configuration("mode=off", platform=(GEM,)))
        plan = board.read("microvm --config /tmp/vm.toml --print-plan </dev/null")
    true("both entries", "# interrupt SPI 1 level\n# interrupt SPI 1 level, listed again\n" in
         plan.replace("\r", ""), plan)


@test("system-versal", VERSAL)
def edge(board):
    """An edge: each trigger comes once."""
    console, figures = triggered(board, SLOT, "virtio,mmio", 20)
    true("the guest's count", "lines=1 interrupts=20 spurious=0" in console, console)
    equal("userspace_irqs", figures["devices"][0]["userspace_irqs"], 0)
