# SPDX-License-Identifier: Apache-2.0
"""A device on the AMBA bus, through vfio-amba."""

from board import BoardKind
from host import PL031, Finished, bound, configuration
from suite import equal, test, true
from virt_interrupts import count_everywhere

AMBA = BoardKind("virt", ("--amba", "--smp", "1"))  # for exact counts: board.ONE_CPU
DRIVER = f"basename $(readlink /sys/bus/amba/devices/{PL031}/driver)"


@test("system-virt", AMBA)
def bind(board):
    """AMBA: a device is bound to vfio-amba, and given back to the host's driver."""
    equal("driver before", board.read(DRIVER).strip(), "rtc-pl031")
    with bound(board):
        equal("driver", board.read(DRIVER).strip(), "vfio-amba")
        listed = board.read("microvm device list")
    equal("driver after", board.read(DRIVER).strip(), "rtc-pl031")
    true("it is listed", any(PL031 in line and "vfio-amba" in line for line in listed.splitlines()),
         listed)


@test("system-virt", AMBA)
def interrupts_iommufd(board):
    """AMBA: 2,000 interrupts through iommufd, counted alike by device, host and guest."""
    count_everywhere(board, "iommu", 'backend = "iommufd"', opened="/dev/vfio/devices/vfio0")


@test("system-virt", AMBA)
def interrupts_group(board):
    """AMBA: 2,000 interrupts through the group, counted alike by device, host and guest."""
    count_everywhere(board, "iommu", 'backend = "group"', opened="/dev/vfio/0")


@test("system-virt", AMBA)
def regions(board):
    """AMBA: the guest sees the device's region, and its PrimeCell identification."""
    with bound(board):
        run = Finished(board, configuration("mode=regions"))
    equal("exit status", run.status, 0)
    equal("last word", int(run.lines("reg=")[0]["last"], 0), 0xb1)
