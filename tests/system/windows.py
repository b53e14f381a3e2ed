# SPDX-License-Identifier: Apache-2.0
"""Regions that cannot be mapped, and windows: what a guest may do to which registers."""

from board import BoardKind
from host import Finished, bound, configuration
from suite import equal, test, true
from virt_lines import with_tree

VERSAL = BoardKind("versal")
SMALL_REGION = with_tree("small_region")
# The PL031's match register at 4 keeps what is written, as does the interrupt's mask at 0x10, a bit;
# its control register at 0xc reads 1.
SMALL, SMALL_COMPATIBLE = "9010000.small", "test,small-region"
SMALL_PASSED = (SMALL, "iommu")
# Battery-backed memory: registers of 0x50 bytes, which read zero in this emulator.
BBRAM, BBRAM_COMPATIBLE = "f11f0000.bbram", "xlnx.bbram-ctrl"
# One of eight in a page; nothing is plugged into it. It has no use for DMA, whatever its node says.
SLOT, SLOT_COMPATIBLE = "a0000600.virtio_mmio", "virtio,mmio"
SLOT_PASSED = (SLOT, "none", "ignore_dma_signs = true")
MAGIC = 0x74726976
CANFD, CANFD_COMPATIBLE = "ff070000.canfd", "xlnx,canfd-2.0"


def window(access, offset=None, size=None):
    lines = ["[[platform.window]]", f'access = "{access}"']
    if offset is not None:
        lines += [f"offset = {offset:#x}", f"size = {size:#x}"]
    return "\n".join(lines) + "\n"


def accesses(board, passed, compatible, do, windows=""):
    """What the guest read at each access, and the device's statistics."""
    with bound(board, passed[0]):
        run = Finished(board, configuration(
            f"mode=access device={compatible} do={','.join(do)}", platform=(passed,)) + windows)
    equal(f"exit status ({run})", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith("guest: ok access"), run)
    return [int(line["value"], 16) for line in run.lines("access=")], run.statistics


def counts(statistics):
    device = statistics["devices"][0]
    return tuple(device[key] for key in ("mapped_bytes", "trapped_reads", "trapped_writes",
                                         "denied_reads", "denied_writes"))


@test("system-virt", SMALL_REGION)
def small_region(board):
    """A region of 0x50 bytes is trapped: the guest reads and writes all of its registers."""
    values, statistics = accesses(board, SMALL_PASSED, SMALL_COMPATIBLE, (
        "w4:0:4:11223344", "r4:0:4", "w4:0:10:1", "r4:0:10", "w8:0:8:0", "r8:0:c"))
    equal("values", values[1::2], [0x11223344, 1, 1 << 32 | 1])
    equal("counts", counts(statistics), (0, 3, 3, 0, 0))
    equal("refused", statistics["refused_accesses"], 0)


@test("system-versal", VERSAL)
def battery_backed_memory(board):
    """A region of 0x50 bytes beside nothing else is trapped: each access is counted, none refused."""
    _, statistics = accesses(board, (BBRAM, "none"), BBRAM_COMPATIBLE,
                             ("r4:0:0", "w4:0:30:11223344", "r4:0:4c"))
    equal("counts", counts(statistics), (0, 2, 1, 0, 0))
    equal("refused", statistics["refused_accesses"], 0)


@test("system-virt", SMALL_REGION)
def width_of_accesses(board):
    """A region whose node says how wide its registers are: accesses of another width are refused."""
    values, statistics = accesses(
        board, (*SMALL_PASSED, "properties = { reg-io-width = 4 }"), SMALL_COMPATIBLE,
        ("w4:0:4:55667788", "r1:0:4", "r2:0:4", "r8:0:0", "w1:0:4:0", "r4:0:4"))
    refused = 0xff, 0xffff, 0xffffffffffffffff, 0
    equal("values", values, [0x55667788, *refused, 0x55667788])
    equal("refused", statistics["refused_accesses"], 4)


@test("system-virt", SMALL_REGION)
def windows_of_a_small_region(board):
    """Windows of a trapped region: allowed, read-only and denied registers."""
    values, _ = accesses(board, SMALL_PASSED, SMALL_COMPATIBLE, (
        "w4:0:10:1", "r4:0:10", "w4:0:10:0", "r4:0:10"))
    equal("the interrupt's mask without a window", values[1::2], [1, 0])
    windows = window("deny") + window("allow", 4, 4) + window("read-only", 0xc, 8)
    values, statistics = accesses(board, SMALL_PASSED, SMALL_COMPATIBLE, (
        "w4:0:4:55667788", "r4:0:4",  # allowed
        "r4:0:c", "w4:0:10:1", "r4:0:10",  # read-only: the interrupt stays masked
        "w4:0:8:1", "r4:0:8",  # denied
        "r8:0:4", "w8:0:4:0", "r4:0:4"), windows)  # reach into what is denied
    equal("values", values, [0x55667788, 0x55667788, 1, 1, 0, 1, 0, 0, 0, 0x55667788])
    equal("counts", counts(statistics), (0, 6, 4, 2, 3))
    equal("refused", statistics["refused_accesses"], 0)


@test("system-versal", VERSAL)
def one_of_a_page(board):
    """One of eight devices in a page: the guest reaches its registers, and none beside them."""
    values, statistics = accesses(board, SLOT_PASSED, SLOT_COMPATIBLE, (
        "r4:0:0", "r4:0:1fc", "r4:0:200", "r4:0:a00", "w4:0:200:0"))
    equal("values", values, [MAGIC, 0, 0xffffffff, 0xffffffff, 0])
    equal("counts", counts(statistics), (0, 2, 0, 0, 0))
    equal("refused", statistics["refused_accesses"], 3)


@test("system-versal", VERSAL)
def windows_of_one_of_a_page(board):
    """One of eight devices in a page, all of it denied but the first register."""
    windows = window("deny") + window("read-only", 0, 4)
    values, statistics = accesses(board, SLOT_PASSED, SLOT_COMPATIBLE,
                                  ("r4:0:0", "r4:0:4", "w4:0:0:0", "w4:0:70:1"), windows)
    equal("values", values, [MAGIC, 0, 0, 1])
    equal("counts", counts(statistics), (0, 2, 2, 1, 2))


@test("system-versal", VERSAL)
def window_of_a_mapped_region(board):
    """A window of a mapped region is hidden; its page is trapped, and the others cost no exit."""
    # BRPR at 8 keeps what is written; BTR at 0xc is hidden. 0x2000 is message memory.
    do = ("w4:0:8:3", "r4:0:8", "w4:0:c:7", "r4:0:c", "w4:0:2000:1234", "r4:0:2000")
    values, statistics = accesses(board, (CANFD, "none"), CANFD_COMPATIBLE, do)
    equal("values without a window", values[1::2], [3, 7, values[5]])
    memory = values[5]
    equal("counts without a window", counts(statistics), (0x10000, 0, 0, 0, 0))
    # Another value than before, which the device must never see.
    values, statistics = accesses(board, (CANFD, "none"), CANFD_COMPATIBLE,
                                  [text.replace("w4:0:c:7", "w4:0:c:5") for text in do],
                                  window("deny", 0xc, 4))
    equal("values", values[1::2], [3, 0, memory])
    equal("counts", counts(statistics), (0xf000, 2, 2, 1, 1))
    # The device never saw the write that was denied.
    values, _ = accesses(board, (CANFD, "none"), CANFD_COMPATIBLE, ("r4:0:8", "r4:0:c"))
    true("the device's own registers", values[1] in (0, 7), values)


@test("system-virt", SMALL_REGION)
def window_outside(board):
    """Refused: a window that is not inside its region, at its place in the file."""
    with bound(board, SMALL):
        run = Finished(board, configuration("mode=off", platform=(SMALL_PASSED,)) +
                       window("deny", 0x4c, 8))
    equal("exit status", run.status, 1)
    true("the place and the region",
         "/tmp/vm.toml:" in run.errors and "platform.window.offset: 0x8 bytes at 0x4c are not "
         f"inside region 0 of '{SMALL}', which has 0x50" in run.errors, run)
