# SPDX-License-Identifier: Apache-2.0
"""The two interfaces of VFIO: iommufd with the device's own file, and groups with a container."""

from board import BoardKind
from host import PL031, Finished, Machine, bound, configuration
from suite import equal, test, true
from virt_interrupts import count_everywhere

VIRT = BoardKind("virt", ("--smp", "1"))  # for exact counts: board.ONE_CPU
RAM_KIB = 32 * 1024


@test("system-virt", VIRT)
def iommufd(board):
    """2,000 interrupts through iommufd: device, host and guest count the same."""
    count_everywhere(board, "iommu", 'backend = "iommufd"', opened="/dev/vfio/devices/vfio0")


@test("system-virt", VIRT)
def group(board):
    """2,000 interrupts through the group: device, host and guest count the same."""
    count_everywhere(board, "iommu", 'backend = "group"', opened="/dev/vfio/0")


@test("system-virt", VIRT)
def chosen(board):
    """iommufd is chosen where both can be had."""
    count_everywhere(board, "iommu", opened="/dev/vfio/devices/vfio0")


@test("system-virt", VIRT)
def group_without_dma(board):
    """dma = "none" through the group, for a device that has an IOMMU, works too."""
    count_everywhere(board, "none", 'backend = "group"', opened="/dev/vfio/0")


def pinned(board, dma, backend):
    """KiB of the process's memory that the kernel keeps in place for devices."""
    with bound(board):
        machine = Machine(board, configuration(
            "mode=spin", platform=((PL031, dma, f'backend = "{backend}"'),)))
        machine.wait_for("^ready")
        status = board.read(f"cat /proc/{machine.pid()}/status")
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
    # Type 1 accounts for it as locked, iommufd as pinned.
    return sum(int(line.split()[1]) for line in status.splitlines()
               if line.startswith(("VmLck:", "VmPin:")))


@test("system-virt", VIRT)
def as_much_as_ram(board):
    """As much memory is mapped for a device as the guest has, and none with dma = "none"."""
    for backend in ("iommufd", "group"):
        equal(f"KiB, {backend}, dma", pinned(board, "iommu", backend), RAM_KIB)
        equal(f"KiB, {backend}, no dma", pinned(board, "none", backend), 0)


@test("system-virt", VIRT)
def reserved_window(board):
    """RAM keeps clear of the window that the SMMU's driver reserves for MSIs."""
    with bound(board):
        windows = board.read("cat /sys/bus/platform/devices/9010000.pl031/iommu_group/"
                             "reserved_regions")
        board.write("/tmp/vm.toml", configuration("mode=off"))
        plan = board.read("microvm --config /tmp/vm.toml --print-plan")
    ranges = [[int(word, 16) for word in line.split()[:2]] for line in windows.splitlines()]
    true("there is one for MSIs", [0x8000000, 0x80fffff] in ranges, windows)
    line = next(line for line in plan.splitlines() if line.startswith("# RAM "))
    start, last = (int(word, 16) for word in line.split()[-1].split("-"))
    true("RAM meets none", all(last < first or start > end for first, end in ranges),
         f"{line}\n{windows}")


@test("system-virt", VIRT)
def passed_descriptors(board):
    """A launcher hands the open device to a user who may open neither it nor /dev/iommu."""
    config = configuration("mode=interrupts count=100", platform=((PL031, "iommu", "device_fd = 4"),)
                           ) + "[vfio]\niommu_fd = 3\n"
    board.read("chmod 666 /dev/kvm")
    with bound(board):
        board.write("/tmp/vm.toml", config)
        passed = board.run("(ulimit -l unlimited; exec /t/as_nobody microvm --config /tmp/vm.toml"
                           " 3<>/dev/iommu 4<>/dev/vfio/devices/vfio0 </dev/null 2>&1)")
        wrong = board.run("microvm --config /tmp/vm.toml 3<>/dev/iommu 4<>/dev/null </dev/null 2>&1")
        without = board.run("/t/as_nobody microvm --config /tmp/vm.toml </dev/null 2>&1")
    board.read("chmod 600 /dev/kvm")
    equal("exit status", passed.status, 0)
    true("the guest is content", passed.output.rstrip().endswith("guest: ok interrupts"), passed)
    equal("exit status with another descriptor", wrong.status, 1)
    true("it says so", "descriptor 4 is not the VFIO device of '9010000.pl031'" in wrong.output, wrong)
    equal("exit status without them", without.status, 1)
    true("it says so", "start microvm with /dev/iommu open as this descriptor" in without.output,
         without)


@test("system-virt", VIRT)
def reboot_through_group(board):
    """A guest reboots with its device got through the group."""
    with bound(board):
        run = Finished(board, configuration("mode=reboot boots=3 count=10", platform=(
            (PL031, "iommu", 'backend = "group"'),)))
    equal("exit status", run.status, 0)
    equal("boots", run.statistics["boots"], 3)
