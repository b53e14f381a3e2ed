# SPDX-License-Identifier: Apache-2.0
"""Regions that cannot be mapped, and windows: what a guest may do to which registers."""

from board import BoardKind
from host import Finished, bound, configuration
from suite import equal, test, true

VERSAL = BoardKind("versal")
# Battery-backed memory: registers of 0x50 bytes. User data at 0x30; the interrupt's mask at 0x3c,
# which reads 1 until a 1 is written to 0x40.
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


@test("system-versal", VERSAL)
def small_region(board):
    """A region of 0x50 bytes is trapped: the guest reads and writes all of its registers."""
    values, statistics = accesses(board, (BBRAM, "none"), BBRAM_COMPATIBLE, (
        "w4:0:30:11223344", "r4:0:30", "r8:0:30", "r4:0:3c"))  # it takes words, and nothing else
    equal("values", values, [0x11223344, 0x11223344, 0x11223344, 1])
    equal("counts", counts(statistics), (0, 3, 1, 0, 0))
    equal("refused", statistics["refused_accesses"], 0)


@test("system-versal", VERSAL)
def windows_of_a_small_region(board):
    """Windows of a trapped region: allowed, read-only and denied registers."""
    windows = window("deny") + window("allow", 0x30, 4) + window("read-only", 0x34, 0xc)
    values, statistics = accesses(board, (BBRAM, "none"), BBRAM_COMPATIBLE, (
        "w4:0:30:55667788", "r4:0:30",  # allowed
        "r4:0:3c", "w4:0:3c:0", "r4:0:3c",  # read-only
        "w4:0:40:1", "r4:0:3c", "r4:0:40",  # denied: the mask stays
        "r8:0:30"), windows)  # reaches into what may be read only
    equal("values", values, [0x55667788, 0x55667788, 1, 0, 1, 1, 1, 0, 0x55667788])
    equal("counts", counts(statistics), (0, 6, 3, 1, 2))
    equal("refused", statistics["refused_accesses"], 0)
    # The same without a window: the write arrives.
    values, _ = accesses(board, (BBRAM, "none"), BBRAM_COMPATIBLE, (
        "w4:0:40:1", "r4:0:3c", "w4:0:44:1", "r4:0:3c"))
    equal("the interrupt's mask", values[1::2], [0, 1])


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
    values, statistics = accesses(board, (CANFD, "none"), CANFD_COMPATIBLE, do,
                                  window("deny", 0xc, 4))
    equal("values", values[1::2], [3, 0, memory])
    equal("counts", counts(statistics), (0xf000, 2, 2, 1, 1))
    # The device never saw the write that was denied.
    values, _ = accesses(board, (CANFD, "none"), CANFD_COMPATIBLE, ("r4:0:8", "r4:0:c"))
    true("the device's own registers", values[1] in (0, 7), values)


@test("system-versal", VERSAL)
def window_outside(board):
    """Refused: a window that is not inside its region, at its place in the file."""
    with bound(board, BBRAM):
        run = Finished(board, configuration("mode=off", platform=((BBRAM, "none"),)) +
                       window("deny", 0x4c, 8))
    equal("exit status", run.status, 1)
    true("the place and the region",
         "/tmp/vm.toml:" in run.errors and "platform.window.offset: 0x8 bytes at 0x4c are not "
         f"inside region 0 of '{BBRAM}', which has 0x50" in run.errors, run)
