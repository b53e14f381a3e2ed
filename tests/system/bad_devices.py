# SPDX-License-Identifier: Apache-2.0
"""Devices that cannot be passed through as they are: exit status 1, and what to do about it."""

from board import WITHOUT_IOMMU, BoardKind
from host import PL031, Machine, bind, bound, configuration, unbind
from refusal import SET_UP, good_run, refused, run
from suite import equal, test, true

VIRT = BoardKind("virt")
ISOLATED = BoardKind("virt", ("--no-unsafe-interrupts",))
WITHOUT_NOIOMMU = BoardKind("virt", ("--virt-iommu", "none"),
                            ("vfio.enable_unsafe_noiommu_mode=0",))
RESET_REQUIRED = BoardKind("virt", (), ("vfio-platform.reset_required=1",))
VERSAL = BoardKind("versal")
CANFD = "ff070000.canfd"
GOOD = configuration("mode=off")


@test("system-virt", VIRT)
def absent(board):
    """Refused: a device that does not exist; similar names are offered."""
    for name in ("9010000.pl013", "9020000.pl031"):
        refused(run(board, configuration("", platform=((name, "iommu"),))), SET_UP, name,
                "did you mean", PL031)
    good_run(board)


@test("system-virt", VIRT)
def nothing_like_it(board):
    """Refused: a device that does not exist and resembles none."""
    refused(run(board, configuration("", platform=(("nothing", "iommu"),))), SET_UP, "'nothing'",
            "microvm device list")


@test("system-virt", VIRT)
def bound_to_nothing(board):
    """Refused: a device that is bound to no driver."""
    refused(run(board, GOOD), SET_UP, PL031, "bound to no driver", f"microvm device bind {PL031}")
    good_run(board)


@test("system-versal", VERSAL)
def bound_to_its_driver(board):
    """Refused: a device that the host's driver has; the host keeps it."""
    config = configuration("mode=off", platform=((CANFD, "none"),))
    refused(run(board, config), SET_UP, CANFD, "xilinx_can", f"microvm device bind {CANFD}")


@test("system-virt", VIRT)
def in_use(board):
    """Refused: a device that a running machine has; its process is named, and it runs on."""
    with bound(board):
        machine = Machine(board, configuration("mode=traffic every=100"))
        machine.wait_for("traffic=[1-9]")
        pid = machine.pid()
        refused(run(board, GOOD), SET_UP, PL031, "in use", rf"{pid} \(microvm\)",
                "stop the process")
        board.read("n=$(grep -c traffic= /tmp/out); sleep 0.5")
        machine.wait_for("traffic=[1-9]000")
        machine.signal("TERM")
        equal("exit status of the machine that had it", machine.wait(), 0)
    good_run(board)


@test("system-virt", VIRT)
def unbind_in_use(board):
    """Refused: unbinding a device that a running machine has; its process is named, and it runs on."""
    with bound(board):
        machine = Machine(board, configuration("mode=traffic every=100"))
        machine.wait_for("traffic=[1-9]")
        pid = machine.pid()
        board.read(f"microvm device unbind {PL031} </dev/null >/tmp/unbind 2>&1 & sleep 2")
        text = board.read("cat /tmp/unbind")
        machine.signal("TERM")
        equal("exit status of the machine that had it", machine.wait(), 0)
        true("its process is named", f"{pid} (microvm)" in text, text)
    good_run(board)


@test("system-virt", WITHOUT_NOIOMMU)
def no_group(board):
    """Refused: binding a device without an IOMMU where no-IOMMU mode is off; nothing stays bound."""
    result = board.run(f"microvm device bind {PL031} 2>&1")
    refused(result, SET_UP, PL031, "no IOMMU", "enable_unsafe_noiommu_mode=1")
    refused(run(board, GOOD), SET_UP, PL031, "bound to no driver")


@test("system-virt", WITHOUT_IOMMU)
def no_iommu(board):
    """Refused: dma = "iommu" for a device that no IOMMU stands before."""
    with bound(board):
        refused(run(board, GOOD), SET_UP, PL031, 'dma = "iommu"', 'write dma = "none"')


@test("system-virt", WITHOUT_IOMMU)
def two_devices_without_iommu(board):
    """Two devices without an IOMMU are passed through together."""
    pl061 = "9030000.pl061"
    with bound(board, PL031, pl061):
        board.write("/tmp/vm.toml", configuration("mode=interrupts count=100", platform=(
            (PL031, "none"), (pl061, "none"))))
        result = board.run("microvm --config /tmp/vm.toml </dev/null 2>&1")
    equal(f"exit status ({result.output})", result.status, 0)
    true("the guest is content", "interrupts=100 raised=100" in result.output, result)


@test("system-virt", ISOLATED)
def no_msi_isolation(board):
    """Refused: an IOMMU without isolated MSIs; the option that allows it is named."""
    with bound(board):
        refused(run(board, GOOD), SET_UP, PL031, "VFIO_SET_IOMMU", "Operation not permitted",
                "message-signalled", "allow_unsafe_interrupts=1")
        board.read("echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    good_run(board)


@test("system-virt", RESET_REQUIRED)
def reset_required(board):
    """Refused: binding a device without a reset driver where the host insists on one."""
    result = board.run(f"microvm device bind {PL031} 2>&1")
    refused(result, SET_UP, PL031, "reset", "vfio-platform.reset_required=0")
    # The host's own file for it cannot be written, so it is no remedy.
    true("no advice to write to the parameter", "echo 0 >" not in result.output, result)
    true("nothing stays bound", board.run(
        f"[ -e /sys/bus/platform/devices/{PL031}/driver ]").status == 1)


@test("system-virt", VIRT)
def bind_absent(board):
    """Refused: binding a device that does not exist."""
    refused(board.run("microvm device bind 9010001.pl031 2>&1"), SET_UP, "9010001.pl031", PL031)


@test("system-virt", VIRT)
def bound_twice(board):
    """Binding what is bound and unbinding what is not are no errors."""
    bind(board)
    bind(board)
    unbind(board)
    unbind(board)
    good_run(board)
