# SPDX-License-Identifier: Apache-2.0
"""microvm device list, inspect, bind and unbind."""

from board import WITHOUT_IOMMU, BoardKind
from host import PL031, configuration
from suite import equal, test, true

VIRT = BoardKind("virt")
VERSAL = BoardKind("versal")
KEPT, PASSED = "ff060000.canfd", "ff070000.canfd"


def driver(board, device):
    return board.read(f"readlink /sys/bus/platform/devices/{device}/driver | sed 's,.*/,,'").strip()


def interfaces(board):
    return board.read("for n in /sys/class/net/*; do [ ! -e $n/device ] || "
                      "readlink $n/device | sed 's,.*/,,'; done; true").split()


def row(text, device):
    return next((line for line in text.splitlines() if line.startswith(device + " ")), "")


@test("system-versal", VERSAL)
def bind_and_unbind(board):
    """bind takes a controller from its driver; unbind gives it back, and its interface is there again."""
    equal("driver", driver(board, PASSED), "xilinx_can")
    equal("interfaces", sorted(name for name in interfaces(board) if "canfd" in name),
          [KEPT, PASSED])
    listed = board.read("microvm device list")
    true("list shows the driver", "xilinx_can" in row(listed, PASSED), listed)
    board.read(f"microvm device bind {PASSED}")
    equal("driver", driver(board, PASSED), "vfio-platform")
    equal("driver of the other controller", driver(board, KEPT), "xilinx_can")
    true("the interface is gone", PASSED not in interfaces(board))
    listed = board.read("microvm device list")
    true("list shows the new driver", "vfio-platform" in row(listed, PASSED), listed)
    true("list shows the group without IOMMU", "no IOMMU" in row(listed, PASSED), listed)
    board.read(f"microvm device unbind {PASSED}")
    equal("driver", driver(board, PASSED), "xilinx_can")
    true("the interface is back", PASSED in interfaces(board))
    board.read("name=$(ls /sys/bus/platform/devices/ff070000.canfd/net); ip link set $name up type can"
               " bitrate 500000 dbitrate 2000000 fd on && ip link set $name down")


@test("system-versal", VERSAL)
def by_configuration(board):
    """bind and unbind take the devices from a configuration."""
    board.write("/tmp/vm.toml", configuration("", platform=((PASSED, "none"), (KEPT, "none"))))
    board.read("microvm device bind --config /tmp/vm.toml")
    equal("drivers", {driver(board, KEPT), driver(board, PASSED)}, {"vfio-platform"})
    board.read("microvm device unbind --config /tmp/vm.toml")
    equal("drivers", {driver(board, KEPT), driver(board, PASSED)}, {"xilinx_can"})


@test("system-versal", VERSAL)
def inspect_controller(board):
    """inspect: what a CAN FD controller has, and the table that passes it through."""
    text = board.read(f"microvm device inspect {PASSED}")
    for words in ("driver: xilinx_can", "compatible: xlnx,canfd-2.0", "interrupt 0: level",
                  "clock can_clk", "25000000 Hz", f'host = "{PASSED}"', 'dma = "none"',
                  f"microvm device bind {PASSED}"):
        true(words, words in text, text)


@test("system-versal", VERSAL)
def advice_works(board):
    """What inspect advises, typed as it stands, makes a machine that --check accepts."""
    advice = board.read(f"microvm device inspect {PASSED}")
    table = "\n".join(advice[advice.index("[[platform]]"):].splitlines()[:3])
    command = advice[advice.index("microvm device bind"):].splitlines()[0]
    board.read(command)
    try:
        board.write("/tmp/vm.toml", configuration("", platform=()) + table + "\n")
        equal("--check", board.read("microvm --config /tmp/vm.toml --check"), "vm: ok\n")
    finally:
        board.read(f"microvm device unbind {PASSED}")


@test("system-virt", VIRT)
def inspect_behind_iommu(board):
    """inspect: a device behind the SMMU is advised dma = "iommu"; once bound it is ready."""
    text = board.read(f"microvm device inspect {PL031}")
    true('dma = "iommu"', 'dma = "iommu"' in text, text)
    true("its group", "IOMMU group: 0" in text, text)
    board.read(f"microvm device bind {PL031}")
    text = board.read(f"microvm device inspect {PL031}")
    board.read(f"microvm device unbind {PL031}")
    true("ready", "verdict: ready" in text, text)


@test("system-virt", WITHOUT_IOMMU)
def inspect_without_iommu(board):
    """inspect: a device that no IOMMU stands before is advised dma = "none"."""
    text = board.read(f"microvm device inspect {PL031}")
    true('dma = "none"', 'dma = "none"' in text, text)


@test("system-virt", VIRT)
def inspect_what_cannot_be(board):
    """inspect: a device that refers to what a guest cannot have is refused, with the reason."""
    names = [line.split()[0] for line in board.read("microvm device list").splitlines()[1:]]
    verdicts = {name: board.run(f"microvm device inspect {name} 2>&1") for name in names}
    for name, result in verdicts.items():
        equal(f"exit status for {name}", result.status, 0)
        true(f"{name} has a verdict", "verdict: " in result.output, result)
    true("the list is not empty", len(names) > 5, names)
