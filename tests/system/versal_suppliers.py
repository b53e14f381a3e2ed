# SPDX-License-Identifier: Apache-2.0
"""Linux's own drivers on what stands for the suppliers that stay with the host."""

from board import TOP, BoardKind
from host import Finished, bound, configuration
from suite import equal, test, true

CAN = "ff070000.canfd"
WITH_RESET = BoardKind("versal", ("--tree", str(TOP / "tests/system/trees/can_reset.dts")))


@test("system-versal", WITH_RESET)
def reset_line(board):
    """A driver that resets its device at its start gets a reset line of the guest's own, and goes on."""
    config = configuration("console=ttyAMA0 quiet test=can", memory="64M", kernel="/t/Image",
                           initrd="/t/identity.initrd", platform=((CAN, "none"),))
    with bound(board, CAN):
        board.write("/tmp/vm.toml", config)
        plan = board.read("microvm --config /tmp/vm.toml --print-plan </dev/null")
        run = Finished(board, config)
    true("the plan's stub", "# resets that do nothing 1 at 0x" in plan, plan)
    equal(f"exit status\n{run}", run.status, 0)
    true("the node has a reset line", "resets: yes" in run.output, run)
    # Without a driver for the stub it would wait for one; a reset that failed would end its probe.
    true("its driver has it", "driver: xilinx_can" in run.output, run)
