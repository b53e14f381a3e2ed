# SPDX-License-Identifier: Apache-2.0
"""Recipes bring a device to rest that the kernel has no reset function for."""

from board import ONE_CPU, BoardKind
from host import Finished, Machine, bound, configuration
from suite import equal, test, true
from virt_reboot import reboots

VIRT = BoardKind("virt")
# PL031: RTCIMSC, the interrupt's mask, then RTCICR, its end; RTCMIS shows what is left of it.
PL031_AT_REST = """[[platform.recipe]]
write = 0
offset = 0x10
[[platform.recipe]]
write = 1
offset = 0x1c
[[platform.recipe]]
poll = 0
mask = 1
offset = 0x18
"""


def killed_with_its_line_asserted(board):
    machine = Machine(board, configuration("mode=storm count=100000000"))
    machine.wait_for("ready")
    machine.signal("KILL")
    equal("exit status", machine.wait(), 137)


def line_at_boot(board, recipe):
    run = Finished(board, configuration("mode=reboot boots=1 count=10") + recipe)
    equal("exit status", run.status, 0)
    return run.lines("boot=")[-1]["line_at_boot"]


@test("system-virt", VIRT)
def after_a_kill(board):
    """A line left asserted by SIGKILL is quiet for the next guest after a recipe, and only then."""
    with bound(board):
        killed_with_its_line_asserted(board)
        equal("line without a recipe", line_at_boot(board, ""), "1")
        killed_with_its_line_asserted(board)
        equal("line after a recipe", line_at_boot(board, PL031_AT_REST), "0")


@test("system-virt", ONE_CPU)
def at_reboots(board):
    """20 reboots with the line asserted: a recipe quiets it before each boot."""
    _, _, run = reboots(board, "reboot_asserted=1", extra=PL031_AT_REST)
    equal("line asserted at boot", {line["line_at_boot"] for line in run.lines("boot=")}, {"0"})


@test("system-virt", VIRT)
def at_the_end(board):
    """A recipe runs when the guest is stopped too: the device stays quiet without it."""
    with bound(board):
        machine = Machine(board, configuration("mode=storm count=100000000") + PL031_AT_REST)
        machine.wait_for("ready")
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
        equal("line", line_at_boot(board, ""), "0")


@test("system-virt", VIRT)
def never_at_rest(board):
    """A recipe that fails: the guest does not start, and the step is named."""
    recipe = "recipe = [{ poll = 1, mask = 1, offset = 0x18, timeout_us = 2000 }]\n"
    with bound(board):
        run = Finished(board, configuration("mode=interrupts count=1") + recipe)
    equal("exit status", run.status, 1)
    true("the step is named", "step 1 of its recipe (poll at 0x18 of region 0)" in run.errors, run)
    true("what was seen is told",
         "after 2000 us the register's bits 0x1 are 0x0, not 0x1" in run.errors, run)


@test("system-virt", VIRT)
def required(board):
    """reset = "required" without a reset function or a recipe is refused, with a recipe it runs."""
    with bound(board):
        refused = Finished(board, configuration("mode=regions") + 'reset = "required"\n')
        equal("exit status", refused.status, 1)
        true("refused", 'reset = "required", but the kernel has no reset function' in
             refused.errors, refused)
        run = Finished(board, configuration("mode=regions") + 'reset = "required"\n' + PL031_AT_REST)
        equal("exit status with a recipe", run.status, 0)
