# SPDX-License-Identifier: Apache-2.0
"""Reboots in place: the guest starts afresh in the same process."""

from board import ONE_CPU, BoardKind
from host import Finished, Machine, bound, configuration, host_interrupts, statistics
from suite import at_least, equal, test, true

VIRT = BoardKind("virt")
BOOTS = 20


def reboots(board, words="", boots=BOOTS, extra=""):
    """Each boot counts its own interrupts; the device's count is theirs together."""
    before = host_interrupts(board)
    with bound(board):
        run = Finished(board, configuration(f"mode=reboot boots={boots} count=10 {words}") + extra,
                       300)
        host = host_interrupts(board) - before
    equal("exit status", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith("guest: ok reboot"), run)
    seen = run.lines("boot=")
    equal("boots the guest saw", [int(line["boot"]) for line in seen],
          list(range(1, boots + 1)))
    equal("boots in the statistics", run.statistics["boots"], boots)
    counted = sum(int(line["interrupts"]) for line in seen)
    at_least("interrupts in the guest", counted, 10 * boots)
    return counted, host, run


@test("system-virt", ONE_CPU)
def twenty(board):
    """20 reboots: the device interrupts after each, and host and guest count the same."""
    counted, host, run = reboots(board)
    equal("line asserted at boot", {line["line_at_boot"] for line in run.lines("boot=")}, {"0"})
    equal("host's count", host, counted)
    equal("devices[0].interrupts", run.statistics["devices"][0]["interrupts"], counted)


@test("system-virt", ONE_CPU)
def asserted(board):
    """20 reboots with the line asserted and the interrupt pending."""
    reboots(board, "reboot_asserted=1")


@test("system-virt", ONE_CPU)
def active(board):
    """20 reboots out of the interrupt handler, before its end of interrupt."""
    reboots(board, "reboot_active=1")


@test("system-virt", VIRT)
def linux_reboots(board):
    """Linux's reboot command starts it again in the same process."""
    machine = Machine(board, configuration("console=ttyAMA0 quiet test=reboot", memory="96M",
                                           kernel="/t/Image", initrd="/t/initrd", platform=()))
    pid = machine.pid()
    machine.wait_for("rebooting")
    board.read("n=0; until [ $(grep -c rebooting /tmp/out) -ge 3 ] || [ $n -gt 600 ]; do"
               " sleep 0.1; n=$((n + 1)); done", 120)
    equal("the process", machine.pid(), pid)
    machine.signal("TERM")
    equal("exit status", machine.wait(), 0)
    at_least("boots", statistics(board)["boots"], 3)


def count_in_memory(board, pid, size_kib, word):
    """How often the word stands in the guest's RAM, seen from the host."""
    return int(board.read(f"/t/count_in_memory {pid} {size_kib} {word}", 120))


def residue(board, platform):
    """What a guest leaves in memory is gone when it boots again."""
    board.read("rm -f /tmp/in; mkfifo /tmp/in; exec 8<>/tmp/in")
    machine = Machine(board, configuration("console=ttyAMA0 quiet test=shell", memory="48M",
                                           kernel="/t/Image", initrd="/t/initrd",
                                           platform=platform), stdin="/tmp/in")
    pid = machine.pid()
    machine.wait_for("ready")
    board.read("echo 'yes RESIDUE$((40 + 2))X | head -c 200000 >/dev/kept; echo kept$((1 + 1))'"
               " >/tmp/in")
    machine.wait_for("kept2")
    at_least("before the reboot", count_in_memory(board, pid, 49152, "RESIDUE42X"), 15000)
    board.read("echo 'reboot -f' >/tmp/in; n=0; until [ $(grep -c ready /tmp/out) -ge 2 ] ||"
               " [ $n -gt 600 ]; do sleep 0.1; n=$((n + 1)); done", 120)
    equal("boots", machine.output().count("ready"), 2)
    board.read("exec 8>&-")
    equal("after the reboot", count_in_memory(board, pid, 49152, "RESIDUE42X"), 0)
    machine.signal("TERM")
    equal("exit status", machine.wait(), 0)


@test("system-virt", VIRT)
def no_residue(board):
    """Nothing of the guest's memory survives its reboot."""
    residue(board, ())


@test("system-virt", VIRT)
def no_residue_in_pinned_memory(board):
    """Nothing survives a reboot in memory that is mapped for a device's DMA either."""
    with bound(board):
        residue(board, (("9010000.pl031", "iommu"),))
