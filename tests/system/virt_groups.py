# SPDX-License-Identifier: Apache-2.0
"""An IOMMU group of two devices, one of which the host may keep."""

import re

from board import TOP, BoardKind
from host import PL031, Finished, bound, configuration
from refusal import SET_UP, refused, run
from suite import equal, test, true
from virt_reset import PL031_AT_REST

# The SMMU of trees/shared_group.dts: SMMU_IDR0 to 2 (ARM IHI 0062, 9.6). Both stages, 16 stream matches, 15 bits of
# stream ID; two context banks; addresses of 48 bits, pages of 4 KiB. What is left zero says that it is never busy.
SMMU = 0xbfff0000
IDENTIFICATION = {0x20: 0x6e001e10, 0x24: 0x00000002, 0x28: 0x00001555}
PL061 = "9030000.pl061"
WITHOUT_INTERRUPT = 'drop = ["interrupts:0"]'
HELD = f"{PL061} \\(pl061_gpio\\)"


def identification():
    return [word for offset, value in IDENTIFICATION.items() for word in (
        "-device", f"loader,addr={SMMU + offset:#x},data={value:#x},data-len=4")]


ONE_GROUP = BoardKind("virt", ("--smp", "1", "--virt-iommu", "none", "--tree",
                               str(TOP / "tests/system/trees/shared_group.dts")), (), identification)


def through(backend, *more):
    return configuration("mode=interrupts count=200", platform=(
        (PL031, "iommu", f'backend = "{backend}"', PL031_AT_REST), *more))


@test("system-virt", ONE_GROUP)
def group_not_viable(board):
    """Refused: a device whose IOMMU group the host has in part; who has it is said, and how it is freed."""
    with bound(board):
        for backend in ("group", "iommufd"):
            refused(run(board, through(backend)), SET_UP, PL031, "IOMMU group 0 is not viable", HELD,
                    f"microvm device bind {PL061}")
        inspected = board.read(f"microvm device inspect {PL031}")
        true("inspect names the other", f"pl061_gpio: microvm device bind {PL061}" in inspected, inspected)


@test("system-virt", ONE_GROUP)
def chained(board):
    """Refused: an interrupt that the host's GPIO driver has chained; without it the device is taken."""
    with bound(board, PL031, PL061):
        refused(run(board, configuration("mode=off", platform=((PL061, "iommu"),))), SET_UP, PL061,
                "interrupt 0 is taken: a driver of the host has it, or had it", re.escape(WITHOUT_INTERRUPT))
        finished = Finished(board, configuration("mode=regions", platform=((PL061, "iommu", WITHOUT_INTERRUPT),)))
        equal(f"exit status ({finished})", finished.status, 0)


@test("system-virt", ONE_GROUP)
def group_of_two(board):
    """A group of two devices that are both VFIO's: one of them interrupts a guest, or both are in one."""
    with bound(board, PL031, PL061):
        for backend in ("group", "iommufd"):
            for more in ((), ((PL061, "iommu", f'backend = "{backend}"', WITHOUT_INTERRUPT),)):
                finished = Finished(board, through(backend, *more))
                equal(f"exit status ({backend}, {len(more)} more: {finished})", finished.status, 0)
                devices = finished.statistics["devices"]
                equal("devices", len(devices), 1 + len(more))
                equal("interrupts", devices[0]["interrupts"], 200)
