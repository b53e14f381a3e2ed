# SPDX-License-Identifier: Apache-2.0
"""Hosts that lack something, users who may not: exit status 1, and what to do about it."""

from board import BoardKind
from host import PL031, bound, configuration
from refusal import SET_UP, good_run, refused, run
from suite import test, true

VIRT = BoardKind("virt")
VERSAL = BoardKind("versal")
WITHOUT_KVM = BoardKind("virt", (), ("kvm-arm.mode=none",))
GOOD = configuration("mode=off")
ALONE = configuration("mode=off", platform=())


@test("system-virt", WITHOUT_KVM)
def kvm_off(board):
    """Refused: a host whose KVM is off."""
    refused(run(board, ALONE), SET_UP, "/dev/kvm", "no KVM", "CONFIG_KVM")


@test("system-virt", VIRT)
def no_kvm_node(board):
    """Refused: a host without /dev/kvm."""
    board.read("mv /dev/kvm /dev/kvm.away")
    result = run(board, ALONE)
    board.read("mv /dev/kvm.away /dev/kvm")
    refused(result, SET_UP, "/dev/kvm", "No such file", "CONFIG_KVM")
    good_run(board)


@test("system-virt", VIRT)
def no_vfio(board):
    """Refused: a host with neither /dev/iommu nor /dev/vfio/vfio; the first alone may be missing."""
    with bound(board):
        board.read("mv /dev/iommu /dev/iommu.away")
        board.write("/tmp/vm.toml", GOOD)
        good = board.run("microvm --config /tmp/vm.toml </dev/null 2>&1")
        board.read("mv /dev/vfio/vfio /dev/vfio.away")
        result = run(board, GOOD)
        board.read("mv /dev/vfio.away /dev/vfio/vfio; mv /dev/iommu.away /dev/iommu")
    true("it runs through the group", good.status == 0, good)
    refused(result, SET_UP, PL031, "/dev/vfio/vfio", "CONFIG_VFIO")
    good_run(board)


def as_nobody(board, config):
    board.write("/tmp/bad.toml", config)
    return board.run("/t/as_nobody microvm --config /tmp/bad.toml </dev/null 2>&1")


@test("system-virt", VIRT)
def may_not_use_kvm(board):
    """Refused: a user who may not use KVM."""
    board.read("chmod 600 /dev/kvm")
    refused(as_nobody(board, ALONE), SET_UP, "/dev/kvm", "Permission denied", "kvm")


@test("system-virt", VIRT)
def may_not_use_group(board):
    """Refused: a user who may use KVM but not the device's group."""
    board.read("chmod 666 /dev/kvm /dev/vfio/vfio")
    with bound(board):
        result = as_nobody(board, GOOD)
    board.read("chmod 600 /dev/kvm")
    refused(result, SET_UP, PL031, "/dev/vfio/0", "Permission denied", "chown USER /dev/vfio/0")


@test("system-virt", VIRT)
def may_not_lock(board):
    """Refused: DMA for a user who may lock less memory than the guest has."""
    board.read("chmod 666 /dev/kvm /dev/vfio/vfio")
    with bound(board):
        board.read("chown 65534 /dev/vfio/0")
        result = as_nobody(board, GOOD)
        board.read("chmod 600 /dev/kvm")
    refused(result, SET_UP, "DMA", "ulimit -l")
    good_run(board)


@test("system-virt", VIRT)
def may_not_be_real_time(board):
    """Refused: SCHED_FIFO for a user without the right to it."""
    board.read("chmod 666 /dev/kvm")
    result = as_nobody(board, configuration(
        "mode=off", platform=(), cpu='policy = "fifo"\npriority = 10'))
    board.read("chmod 600 /dev/kvm")
    refused(result, SET_UP, "vCPU 0", '"fifo"', "Operation not permitted", "ulimit -r 10")


@test("system-virt", VIRT)
def may_run_alone(board):
    """A user with access to KVM and nothing else runs a machine without devices."""
    board.read("chmod 666 /dev/kvm")
    result = as_nobody(board, ALONE)
    board.read("chmod 600 /dev/kvm")
    true("exit status 0", result.status == 0, result)


@test("system-virt", VIRT)
def no_huge_pages(board):
    """Refused: huge pages that the host has not set aside; with them the machine runs."""
    config = configuration("mode=off", platform=(), extra_memory='hugepages = "2M"')
    remedy = "echo 16 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    refused(run(board, config), SET_UP, "huge pages", "needs 16", remedy)
    board.read(remedy)
    try:
        result = board.run("microvm --config /tmp/bad.toml </dev/null 2>&1")
        free = board.read("awk '/HugePages_Free/ { print $2 }' /proc/meminfo").strip()
    finally:
        board.read("echo 0 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    true("it runs with them", result.status == 0, result)
    true("all are free again", free == "16", free)
    config = configuration("mode=off", platform=(), extra_memory='hugepages = "4M"')
    refused(run(board, config), SET_UP, "no huge pages of 4096 KiB", "ls /sys/kernel/mm/hugepages")


@test("system-virt", VIRT)
def no_such_cpu(board):
    """Refused: affinity to a CPU that the host does not have."""
    refused(run(board, configuration("mode=off", platform=(), cpu="affinity = [7]")), SET_UP,
            "vCPU 0", "CPU 7", "cpu/online")


@test("system-versal", VERSAL)
def too_much_memory(board):
    """Refused: memory beyond the addresses that the host's CPUs give a guest."""
    refused(run(board, configuration("mode=off", platform=(), memory="16384G")), SET_UP,
            "memory.size", "44 address bits", "make memory.size smaller")


@test("system-versal", VERSAL)
def missing_features(board):
    """Refused: CPU features that a Cortex-A72 does not have."""
    for feature in ("sve", "pauth"):
        refused(run(board, configuration("mode=off", platform=(),
                                         cpu=f'features = ["{feature}"]')),
                SET_UP, "cpu.features", feature, "remove it")


def with_feature(feature):
    return configuration("mode=off", platform=(), cpu=f'features = ["{feature}"]')


@test("system-virt", VIRT)
def features(board):
    """Features that the host has can be given to a guest."""
    for feature in ("pmu", "sve", "pauth"):
        board.write("/tmp/vm.toml", with_feature(feature))
        result = board.run("microvm --config /tmp/vm.toml </dev/null 2>&1")
        true(f"{feature}: exit status 0", result.status == 0, result)


@test("system-versal", VERSAL)
def features_absent(board):
    """Refused: features that the host's CPUs do not have."""
    for feature in ("sve", "pauth"):
        refused(run(board, with_feature(feature)), SET_UP, feature, "remove it from cpu.features")


@test("system-virt", VIRT)
def statistics_nowhere(board):
    """Refused: --stats to a place where nothing can be written, before the guest starts."""
    board.write("/tmp/bad.toml", ALONE)
    result = board.run("microvm --config /tmp/bad.toml --stats /no/where </dev/null 2>&1")
    refused(result, SET_UP, "/no/where", "No such file")
