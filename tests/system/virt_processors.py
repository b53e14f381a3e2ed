# SPDX-License-Identifier: Apache-2.0
"""Guests with several virtual processors."""

from board import BoardKind
from host import Finished, bound, configuration
from suite import at_least, equal, test, true

VIRT = BoardKind("virt")


def smp(board, cpus, count=100, rounds=2):
    with bound(board):
        run = Finished(board, configuration(f"mode=smp,interrupts count={count} rounds={rounds}",
                                            cpus=cpus))
    equal("exit status", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith("guest: ok smp,interrupts"), run)
    equal("cpus", run.lines("cpus")[-1]["cpus"], str(cpus))
    equal("answers", int(run.lines("cpus")[-1]["answers"]), (cpus - 1) * count * rounds)


@test("system-virt", VIRT)
def two(board):
    """Two vCPUs: PSCI turns the second on and off, software interrupts reach it."""
    smp(board, 2)


@test("system-virt", VIRT)
def four_on_two(board):
    """Four vCPUs on two host CPUs."""
    smp(board, 4)


@test("system-virt", VIRT)
def seventeen(board):
    """Seventeen vCPUs: the last is alone in the second cluster."""
    with bound(board):
        run = Finished(board, configuration("mode=smp count=10 rounds=1", cpus=17))
    equal("exit status", run.status, 0)
    true("the guest is content", run.output.rstrip().endswith("guest: ok smp"), run)


def linux(board, cpus):
    run = Finished(board, configuration("console=ttyAMA0 quiet test=processors", cpus=cpus,
                                        memory="96M", kernel="/t/Image", initrd="/t/initrd",
                                        platform=()))
    equal("exit status", run.status, 0)
    true("the guest comes to its end", "guest: up" in run.output, run)
    equal("processors", run.lines("processors")[-1]["processors"], str(cpus))


@test("system-virt", VIRT)
def linux_with_one(board):
    """Linux with one vCPU boots and powers off."""
    linux(board, 1)


@test("system-virt", VIRT)
def linux_with_two(board):
    """Linux with two vCPUs sees both."""
    linux(board, 2)


@test("system-virt", VIRT)
def linux_memory(board):
    """Linux sees the memory it was given, less what its kernel takes."""
    run = Finished(board, configuration("console=ttyAMA0 quiet test=memory", memory="256M",
                                        kernel="/t/Image", initrd="/t/initrd", platform=()))
    at_least("KiB", int(run.lines("memory_kib")[-1]["memory_kib"]), 224 * 1024)


@test("system-virt", VIRT)
def compressed_kernel(board):
    """A gzip-compressed kernel boots."""
    run = Finished(board, configuration("console=ttyAMA0 quiet test=processors", memory="96M",
                                        kernel="/tmp/Image.gz", initrd="/t/initrd", platform=()),
                   before="gzip -1 </t/Image >/tmp/Image.gz")
    equal("exit status", run.status, 0)
    true("the guest comes to its end", "guest: up" in run.output, run)


@test("system-virt", VIRT)
def pinned_fifo(board):
    """A vCPU pinned to a host CPU with SCHED_FIFO, memory locked: the host sees both."""
    config = configuration("mode=interrupts count=50", cpu='affinity = [1]\npolicy = "fifo"\n'
                           "priority = 40", extra_memory="lock = true")
    with bound(board):
        board.write("/tmp/vm.toml", config.replace("mode=interrupts", "mode=interrupts,spin"))
        board.read("microvm --config /tmp/vm.toml </dev/null >/tmp/out 2>&1 & sleep 2")
        pid = board.read("pidof microvm").strip()
        seen = board.read(
            f"for t in /proc/{pid}/task/*; do echo $(cat $t/comm) $(awk '/^Cpus_allowed_list/ "
            "{print $2}' $t/status) $(awk '{ sub(/.*\\) /, \"\"); print $39, $38 }' $t/stat); done\n"
            f"grep VmLck /proc/{pid}/status")
        board.read("kill -TERM $(pidof microvm); wait")
    true("vcpu0 is on CPU 1 with policy 1 (FIFO), priority 40", "vcpu0 1 1 40" in seen, seen)
    true("32 MiB are locked", any(int(line.split()[1]) >= 32768 for line in seen.splitlines()
                                  if line.startswith("VmLck")), seen)


@test("system-virt", VIRT)
def without_pmu(board):
    """A guest that was given no PMU has none."""
    run = Finished(board, configuration("mode=pmu", platform=()))
    equal("exit status", run.status, 0)
    equal("pmu", run.lines("pmu=")[-1]["pmu"], "0")


@test("system-virt", VIRT)
def with_pmu(board):
    """A guest that was given a PMU counts with it, and an overflow interrupts it once."""
    run = Finished(board, configuration("mode=pmu", platform=(), cpu='features = ["pmu"]'))
    equal("exit status", run.status, 0)
    line = run.lines("pmu=")[-1]
    equal("pmu and overflows", (line["pmu"], line["overflows"]), ("1", "1"))
    true("cycles were counted", int(line["cycles"]) > 0, line)
