# SPDX-License-Identifier: Apache-2.0
"""microvm device list, inspect, bind and unbind."""

import json
import subprocess
import tempfile

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
    for words in ("driver: xilinx_can", "compatible: xlnx,canfd-2.0", "interrupt 0: level, SPI 21",
                  "clock can_clk", "25000000 Hz", "0xff070000 + 0x10000, whole pages",
                  "verdict: with stubs", "start: not yet: it is bound to the host's driver 'xilinx_can'",
                  f'host = "{PASSED}"', 'dma = "none"', f"microvm device bind {PASSED}"):
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
    # The kernel makes its group when a driver is first bound to it; the tree tells before.
    true('dma = "iommu"', 'dma = "iommu"' in text, text)
    board.read(f"microvm device bind {PL031}")
    text = board.read(f"microvm device inspect {PL031}")
    board.read(f"microvm device unbind {PL031}")
    true("its group", "IOMMU group: 0" in text, text)
    true("ready", "start: ready" in text, text)
    true("nothing is in the way", "the host needs" not in text, text)


@test("system-virt", WITHOUT_IOMMU)
def inspect_without_iommu(board):
    """inspect: a device that no IOMMU stands before is advised dma = "none"."""
    text = board.read(f"microvm device inspect {PL031}")
    true('dma = "none"', 'dma = "none"' in text, text)


@test("system-virt", VIRT)
def inspect_what_cannot_be(board):
    """inspect has a verdict on every device that list shows, and list shows every device of the host."""
    names = [entry["device"] for entry in json.loads(board.read("microvm device list --json"))]
    equal("devices listed", sorted(names), sorted(set(board.read(
        "ls -1 /sys/bus/platform/devices /sys/bus/amba/devices").splitlines()) - {""} - {
            "/sys/bus/platform/devices:", "/sys/bus/amba/devices:"}))
    verdicts = {name: board.run(f"microvm device inspect '{name}' 2>&1") for name in names}
    for name, result in verdicts.items():
        equal(f"exit status for {name}", result.status, 0)
        true(f"{name} has a verdict", "verdict: " in result.output, result)
    true("the list is not empty", len(names) > 5, names)


@test("system-virt", VIRT)
def inspect_as_json(board):
    """inspect --json and list --json: what programs read; the host's own tree as a file says the same of the node."""
    board.read(f"microvm device bind {PL031} && microvm device unbind {PL031}")
    live = json.loads(board.read(f"microvm device inspect {PL031} --json"))
    equal("device", live["device"], PL031)
    equal("IOMMU", [(iommu["driver"], iommu["accepted"]) for iommu in live["dma"]["iommus"]],
          [("arm-smmu-v3", True)])
    equal("group", live["live"]["iommu_group"], 0)
    equal("ready", live["live"]["ready"], False)
    listed = json.loads(board.read("microvm device list --json"))
    true("each has a reason", all(entry["reasons"] for entry in listed), listed)
    offline = json.loads(board.read(
        f"microvm device inspect {PL031} --tree /sys/firmware/fdt --json"))
    for key in ("device", "node", "verdict", "regions", "interrupts", "dma", "toml"):
        equal(key, offline[key], live[key])


@test("system-virt", VIRT)
def bind_refuses_what_is_in_use(board):
    """bind: the console's UART is refused, with what uses it, and stays."""
    consoles = board.read("for d in /sys/bus/platform/devices/*.pl011 /sys/bus/amba/devices/*.pl011;"
                          " do [ ! -e $d ] || echo ${d##*/}; done").split()
    true("the board has a console", consoles)
    result = board.run(f"microvm device bind {consoles[0]} 2>&1")
    equal("exit status", result.status, 1)
    true("it says what for", "is a console of the kernel" in result.output, result)
    true("its driver stays", board.read(
        f"ls -d /sys/bus/*/devices/{consoles[0]}/driver").strip())


@test("system-versal", VERSAL)
def bind_refuses_interface_that_is_up(board):
    """bind: a CAN controller whose interface is up is refused, and taken with --force."""
    name = board.read(f"ls /sys/bus/platform/devices/{PASSED}/net").strip()
    board.read(f"ip link set {name} up type can bitrate 500000 dbitrate 2000000 fd on")
    result = board.run(f"microvm device bind {PASSED} 2>&1")
    equal("exit status", result.status, 1)
    true("it says which", f"network interface {name} is up" in result.output, result)
    equal("driver", driver(board, PASSED), "xilinx_can")
    board.read(f"ip link set {name} down; unshare -n sleep 100000 & far=$!; sleep 0.5; "
               f"ip link set {name} netns $far")
    result = board.run(f"microvm device bind {PASSED} 2>&1")
    equal("exit status", result.status, 1)
    true("it says where", "is in another network namespace" in result.output, result)
    board.read("kill $far; wait $far; sleep 0.5; true")
    board.read(f"ip link set {name} up")
    board.read(f"microvm device bind {PASSED} --force")
    equal("driver", driver(board, PASSED), "vfio-platform")
    board.read(f"microvm device unbind {PASSED}")
    equal("driver", driver(board, PASSED), "xilinx_can")


def disk():
    """A disk with a file system."""
    image = tempfile.NamedTemporaryFile()
    image.truncate(8 << 20)
    subprocess.run(["/sbin/mkfs.ext2", "-q", "-F", image.name], check=True)
    DISKS.append(image)
    return ("-drive", f"if=none,id=disk,format=raw,file={image.name}",
            "-device", "virtio-blk-device,drive=disk")


DISKS = []  # they go with this process


@test("system-virt", BoardKind("virt", (), ("disk",), disk))
def bind_refuses_mounted_disk(board):
    """bind: the controller of a disk that is mounted is refused, and taken when it is no more."""
    name = board.read("basename $(readlink -f /sys/block/vda/device/..)").strip()
    board.read("mkdir -p /tmp/disk && mount -t ext2 /dev/vda /tmp/disk && echo kept >/tmp/disk/file")
    result = board.run(f"microvm device bind {name} 2>&1")
    equal("exit status", result.status, 1)
    true("it says where", "disk vda is mounted on /tmp/disk" in result.output, result)
    equal("driver", driver(board, name), "virtio-mmio")
    equal("its file", board.read("cat /tmp/disk/file").strip(), "kept")
    board.read("umount /tmp/disk; unshare -m sh -c 'mount -t ext2 /dev/vda /tmp/disk && sleep 100000' & "
               "far=$!; sleep 0.5")
    result = board.run(f"microvm device bind {name} 2>&1")
    equal("exit status", result.status, 1)
    true("it says where", "disk vda is mounted on /tmp/disk" in result.output, result)
    board.read("pkill -P $far; kill $far; wait $far; sleep 0.5; true")
    board.read(f"microvm device bind {name}")
    equal("driver", driver(board, name), "vfio-platform")
    board.read(f"microvm device unbind {name}")
    equal("driver", driver(board, name), "virtio-mmio")
    equal("its file", board.read("mount -t ext2 /dev/vda /tmp/disk && cat /tmp/disk/file; "
                                 "umount /tmp/disk").strip(), "kept")


@test("system-versal", VERSAL)
def bind_refuses_dma_engine_in_use(board):
    """bind: a DMA engine whose channel has a client is refused, and taken when the client is gone."""
    channel = board.read("ls /sys/class/dma").split()[0]
    engine = board.read(f"basename $(readlink -f /sys/class/dma/{channel}/device)").strip()
    parameters = "/sys/module/dmatest/parameters"
    board.read(f"echo {channel} > {parameters}/channel")
    equal("clients", board.read(f"cat /sys/class/dma/{channel}/in_use").strip(), "1")
    result = board.run(f"microvm device bind {engine} 2>&1")
    equal("exit status", result.status, 1)
    true("it says which", f"DMA channel {channel} is in use" in result.output, result)
    equal("driver", driver(board, engine), "xilinx-zynqmp-dma")
    board.read(f"echo 0 > {parameters}/run")
    board.read(f"microvm device bind {engine}")
    equal("driver", driver(board, engine), "vfio-platform")
    board.read(f"microvm device unbind {engine}")
    equal("driver", driver(board, engine), "xilinx-zynqmp-dma")
