# SPDX-License-Identifier: Apache-2.0
"""What a guest's network costs, everything included (guest, host kernel, VMM), on the deterministic board."""

import re

from disk_figures import BOARD
from host import Finished
from suite import at_most, equal, test
from virtio_net import TAP, linux, tap

# Those that the guest's program and its other end send, with the ones in which it asks for more.
FRAMES = 1 + 16384
# The most ticks that one may take.
LIMITS = {"receives": 12_000, "sends": 12_000}


@test("figures", BOARD)
def net_ticks(board):
    """A frame of 1,514 bytes between a guest and a tap takes at most the ticks promised."""
    with tap(board):
        run = Finished(board, linux("ticks"), 300, before=f"/t/net_ticks {TAP} {FRAMES} &")
    equal(f"exit status\n{run}", run.status, 0)
    found = dict(re.findall(r"^(\w+)=(\d+)$", run.output, re.MULTILINE))
    equal("what was measured", sorted(found), sorted(LIMITS))
    print(f"    {run.statistics['virtio']}")
    for name, limit in LIMITS.items():
        print(f"    a frame that the guest {name:<9} {int(found[name]):>9,} ticks, limit {limit:,}")
    for name, limit in LIMITS.items():
        at_most(f"ticks of a frame that the guest {name}", int(found[name]), limit)
