# SPDX-License-Identifier: Apache-2.0
"""The real-time profile, and what microvm doctor advises."""

import re

from board import ONE_CPU, BoardKind
from host import PL031, Finished, Machine, bound, configuration, statistics
from suite import at_least, equal, test, true

TWO_CPUS = BoardKind("virt")
FIFO = 'affinity = [1]\npolicy = "fifo"\npriority = 50\n[realtime]\n'


@test("system-virt", TWO_CPUS)
def profile(board):
    """[realtime]: the loop keeps off the vCPU's CPU, the device's interrupt is taken there, RAM is locked; 2,000 interrupts."""
    with bound(board):
        machine = Machine(board, configuration("mode=interrupts,spin count=2000", memory="64M",
                                               cpu=FIFO + "halt_poll_ns = 100000"))
        machine.wait_for("^ready")
        pid = board.read("pidof microvm").strip()
        allowed = dict(re.findall(r"(\S+) (\S+)", board.read(
            f"for t in /proc/{pid}/task/*; do echo $(cat $t/comm) "
            "$(sed -n 's/^Cpus_allowed_list:\\t//p' $t/status); done")))
        equal("CPUs", (allowed["microvm"], allowed["vcpu0"]), ("0", "1"))
        at_least("KiB locked", int(board.read(
            f"awk '/^VmLck/ {{ print $2 }}' /proc/{pid}/status")), 64 * 1024)
        line = board.read(f"grep 'vfio-irq.*({PL031})' /proc/interrupts").split()
        irq = line[0].rstrip(":")
        equal("CPU of the interrupt", board.read(f"cat /proc/irq/{irq}/smp_affinity_list").strip(), "1")
        at_least("interrupts on CPU 1", int(line[2]), 2000)
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
        equal("CPUs of the interrupt afterwards",
              board.read(f"cat /proc/irq/{irq}/smp_affinity_list").strip(), "0-1")
        equal("allocations on the vCPU's thread", statistics(board)["vcpu_delays"]["allocations"], 0)


@test("system-virt", ONE_CPU)
def starving(board):
    """A SCHED_FIFO vCPU that never sleeps has the host's only CPU: the loop is above it, and hears a request to stop."""
    machine = Machine(board, configuration("mode=spin", platform=(),
                                           cpu='policy = "fifo"\npriority = 50'))
    machine.wait_for("^ready")
    pid = board.read("pidof microvm").strip()
    policies = dict(re.findall(r"(\S+) (\d+ \d+)", board.read(
        f"for t in /proc/{pid}/task/*; do echo $(cat $t/comm) "
        "$(awk '{ sub(/.*\\) /, \"\"); print $39, $38 }' $t/stat); done")))
    equal("policy and priority", (policies["microvm"], policies["vcpu0"]), ("1 51", "1 50"))
    machine.signal("TERM")
    equal("exit status", machine.wait(), 0)


@test("system-virt", TWO_CPUS)
def doctor(board):
    """microvm doctor: what it advises mends what it found."""
    board.write("/tmp/vm.toml", configuration("mode=off", platform=(), memory="32M",
                                              cpu='affinity = [1]\npolicy = "fifo"\npriority = 50',
                                              extra_memory='hugepages = "2M"'))
    first = board.read("microvm doctor --config /tmp/vm.toml")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", first, re.MULTILINE)]
    equal("numbers", numbers, list(range(1, len(numbers) + 1)))
    true("CPU 1 is not isolated", "CPU 1 is not isolated" in first, first)
    true("huge pages", "start: the host has 16 too few free huge pages" in first, first)
    commands = re.findall(r"echo \S+ > \S+", first)
    at_least("commands", len(commands), 2)
    for command in commands:
        equal(command, board.run(command).status, 0)
    second = board.read("microvm doctor --config /tmp/vm.toml")
    equal("commands that are left", re.findall(r"echo \S+ > \S+", second), [])
    result = Finished(board, configuration("mode=off", platform=(), memory="32M",
                                           extra_memory='hugepages = "2M"'))
    equal("exit status", result.status, 0)
    board.read("echo 0 > /proc/sys/vm/nr_hugepages; echo 950000 > /proc/sys/kernel/sched_rt_runtime_us")
