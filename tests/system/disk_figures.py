# SPDX-License-Identifier: Apache-2.0
"""What a guest's disk costs, everything included (guest, host kernel, VMM), on the deterministic board."""

import re

from board import BoardKind
from host import Finished, Machine, configuration, resident_beside, statistics
from suite import at_least, at_most, equal, test
from virtio_net import TAP, tap

BOARD = BoardKind("virt", ("--icount", "--virt-iommu", "none"))
DISK = "/tmp/disk.raw"
# name: (what is read, the most ticks that it may take)
READS = {
    "one_after_the_other": ("4 KiB at a random place", 38_000),
    "many_at_a_time": ("4 KiB at a random place, of 32 at a time", 9_000),
    "in_order": ("1 MiB in order", 600_000),
}


def machine(script, console="ttyAMA0", others=""):
    return (configuration(f"console={console} quiet test={script}", memory="128M", kernel="/t/Image",
                          initrd="/t/disk.initrd", platform=())
            + f'[[disk]]\npath = "{DISK}"\n[rng]\n{others}')


@test("figures", BOARD)
def resident(board):
    """A machine with a disk, a network, a virtio console, entropy and sockets has at most 3.5 MiB beside its guest's memory."""
    board.read(f"[ -e {DISK} ] || head -c 67108864 /dev/zero >{DISK}", 120)
    with tap(board):
        run = Machine(board, machine("read_and_wait", "hvc0", f'[[net]]\ntap = "{TAP}"\n[vsock]\ncid = 3\n'
                                     '[[console]]\nkind = "hvc"\n'))
        run.wait_for("ready", 60)
        pid = run.pid()
        board.read("sleep 3")  # what was read is given up
        found = resident_beside(board.read(f"cat /proc/{pid}/smaps"),
                                board.read(f"cat /proc/{pid}/status"), 128 * 1024)
        run.signal("TERM")
        equal("exit status", run.wait(), 0)
    disk = next(device for device in statistics(board)["virtio"] if device["name"] == "disk0")
    at_least("bytes read of the disk", disk["bytes_read"], 64 << 20)
    print(f"    {found} KiB beside the guest's memory")
    at_most("KiB", found, 3584)


@test("figures", BOARD)
def ticks(board):
    """A read of a disk, 64 MiB in the host's memory, takes at most the ticks promised."""
    board.read(f"[ -e {DISK} ] || head -c 67108864 /dev/zero >{DISK}", 120)
    run = Finished(board, machine("ticks"), 300)
    equal("exit status", run.status, 0)
    found = dict(re.findall(r"^(\w+)=(\d+)$", run.output, re.MULTILINE))
    equal("reads that were measured", sorted(found), sorted(READS))
    print(f"    {run.statistics['virtio']}")
    for name, (what, limit) in READS.items():
        print(f"    {what:<45} {int(found[name]):>9,} ticks, limit {limit:,}")
    for name, (what, limit) in READS.items():
        at_most(f"ticks of {what}", int(found[name]), limit)
