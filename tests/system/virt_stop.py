# SPDX-License-Identifier: Apache-2.0
"""Machines that are stopped or killed while their device interrupts."""

from board import BoardKind
from host import PL031, Machine, bound, configuration, host_interrupts, statistics
from suite import at_least, at_most, equal, test, true

VIRT = BoardKind("virt")
TRAFFIC = configuration("mode=traffic every=100", memory="64M")
STATE = """
free=$(awk '/^MemFree/ { print $2 }' /proc/meminfo)
driver=$(readlink /sys/bus/platform/devices/9010000.pl031/driver)
echo driver ${driver##*/}
echo group $(ls /sys/kernel/iommu_groups) $(ls /sys/kernel/iommu_groups/*/devices)
echo vfio $(grep -c vfio /proc/interrupts)
echo processes $(pidof microvm)
"""


@test("system-virt", VIRT)
def killed(board):
    """20 times: killed by SIGKILL while interrupts flow, started again at once."""
    with bound(board):
        state, free = board.read(STATE), int(board.read("echo $free"))
        for turn in range(20):
            before = host_interrupts(board)
            machine = Machine(board, TRAFFIC)
            machine.wait_for("traffic=[1-9]")
            machine.signal("KILL")
            equal(f"exit status of start {turn}", machine.wait(), 137)
            at_least(f"interrupts of start {turn}", host_interrupts(board) - before, 100)
        equal("driver, group, interrupts, processes", board.read(STATE), state)
        at_most("KiB of memory that are gone", free - int(board.read("echo $free")), 16 * 1024)


@test("system-virt", VIRT)
def killed_before_it_runs(board):
    """Killed by SIGKILL at 12 moments of its start; each next start works."""
    with bound(board):
        board.write("/tmp/vm.toml", TRAFFIC)
        for delay in range(0, 120, 10):
            board.read("microvm --config /tmp/vm.toml </dev/null >/dev/null 2>&1 & "
                       f"p=$!; sleep {delay / 1000}; kill -KILL $p; wait $p; true")
        machine = Machine(board, TRAFFIC)
        machine.wait_for("traffic=[1-9]")
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)


def stopped_by(board, signal):
    with bound(board):
        machine = Machine(board, TRAFFIC)
        machine.wait_for("traffic=[1-9]")
        true("the device's interrupt is taken",
             f"({PL031})" in board.read("cat /proc/interrupts"))
        seconds = float(board.read(
            f"a=$(cut -d' ' -f1 /proc/uptime); kill -{signal} $(pidof microvm)\n"
            "n=0; until [ -s /tmp/status ] || [ $n -gt 500 ]; do sleep 0.02; n=$((n + 1)); done\n"
            "echo $(cut -d' ' -f1 /proc/uptime) $a | awk '{ print $1 - $2 }'"))
        equal("exit status", machine.wait(), 0)
        at_most("seconds", seconds, 2.0)
        equal("vfio in /proc/interrupts", "vfio" in board.read("cat /proc/interrupts"), False)
        figures = statistics(board)
        equal("reason", figures["exit"]["reason"], "terminated")
        equal("status", figures["exit"]["status"], 0)
        at_least("interrupts", figures["devices"][0]["interrupts"], 100)


@test("system-virt", VIRT)
def sigterm(board):
    """SIGTERM during traffic: exit status 0 within 2 s, device released, reason "terminated"."""
    stopped_by(board, "TERM")


@test("system-virt", VIRT)
def sigint(board):
    """SIGINT during traffic: exit status 0 within 2 s, device released, reason "terminated"."""
    stopped_by(board, "INT")


@test("system-virt", VIRT)
def sigterm_while_it_starts(board):
    """SIGTERM while a recipe still runs: exit status 0 after it, and a second one changes nothing."""
    slow = TRAFFIC + "recipe = [{ delay_us = 1000000 }]\n"
    with bound(board):
        machine = Machine(board, slow)
        machine.pid()
        board.read("sleep 0.3; kill -TERM $(pidof microvm); sleep 0.3; kill -TERM $(pidof microvm)")
        equal("exit status", machine.wait(), 0)
        equal("reason", statistics(board)["exit"]["reason"], "terminated")


@test("system-virt", VIRT)
def device_is_quiet(board):
    """After a stop with the line asserted the host takes no more interrupts of the device."""
    with bound(board):
        machine = Machine(board, TRAFFIC)
        machine.wait_for("traffic=[1-9]")
        machine.signal("KILL")
        machine.wait()
        before = host_interrupts(board)
        board.read("sleep 0.5")
        equal("interrupts after the end", host_interrupts(board) - before, 0)


@test("system-virt", VIRT)
def guest_crash(board):
    """A guest that loops in exceptions can be stopped."""
    with bound(board):
        machine = Machine(board, configuration("mode=crash"))
        machine.wait_for("crash: jumping")
        board.read("sleep 0.5")
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)


@test("system-virt", VIRT)
def output_goes_nowhere(board):
    """A reader of the console that goes away is not the end of the guest."""
    with bound(board):
        board.write("/tmp/vm.toml", configuration("mode=storm,interrupts count=1000"))
        result = board.run("{ microvm --config /tmp/vm.toml --stats /tmp/stats.json </dev/null; "
                           "echo $? >/tmp/status; } | head -c 10; cat /tmp/status", 60)
    true("exit status 0", result.output.rstrip().endswith("0"), result)
    equal("reason", statistics(board)["exit"]["reason"], "power-off")
