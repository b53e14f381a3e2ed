# SPDX-License-Identifier: Apache-2.0
"""The guest's PL031: the host's time, and alarms."""

import re

from host import Finished, configuration
from suite import at_least, at_most, equal, test
from virtio_disk import BOARD


@test("system-virtio", BOARD)
def registers(board):
    """The guest's clock is the host's, until it loads another; an alarm a second ahead and 100 at once come."""
    # RTCRIS, RTCDR, RTCLR, RTCMR, RTCDR; two seconds; the same again; then the line.
    config = configuration("mode=access,timer,access,interrupts count=100 period_us=20000 "
                           "do=r4:0:14,r4:0:0,w4:0:8:3b9aca00,w4:0:4:3b9aca01,r4:0:0,r4:0:fe0", platform=())
    before = int(board.read("date +%s"))
    run = Finished(board, config + "[rtc]\n", 60)
    after = int(board.read("date +%s"))
    equal("exit status", run.status, 0)
    first, second = [[int(value, 16) for value in re.findall(r"value=(\w+)", part)]
                     for part in run.output.split("timer=")]
    at_least("the guest's time", first[1], before)
    at_most("the guest's time", first[1], after)
    equal("no alarm before", first[0], 0)
    equal("an alarm", second[0], 1)
    at_most("seconds since the guest set its clock", second[1] - first[2], after - before)
    at_least("seconds since the guest set its clock", second[1] - first[2], 1)
    for values in (first, second):
        at_most("the time it has set", values[4] - 0x3b9aca00, 1)
        equal("part", values[5], 0x31)
    equal("interrupts", int(run.lines("interrupts=")[0]["interrupts"]), 100)
    # One more if a second passed between the last access and the first interrupt.
    at_least("alarms", run.statistics["rtc_alarms"], 101)
    at_most("alarms", run.statistics["rtc_alarms"], 102)
