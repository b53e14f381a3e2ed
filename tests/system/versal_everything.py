# SPDX-License-Identifier: Apache-2.0
"""A guest that owns a CAN controller and has a disk, a network, sockets, entropy and a second console, all in use."""

import re

from board import BoardKind
from host import Machine, bound, configuration, statistics
from suite import at_least, equal, test, true
from virtio_net import tap

VERSAL = BoardKind("versal")
CANFD = "ff070000.canfd"
RECIPE = "recipe = [{ write = 1, offset = 0x0 }, { poll = 0, mask = 1, offset = 0x0 }]"
FRAMES = 2000
DEVICES = """
[[disk]]
path = "/tmp/disk.raw"
[[net]]
tap = "tap0"
[[console]]
kind = "pl011"
[[console]]
path = "/tmp/hvc.log"
[rng]
[vsock]
cid = 3
"""


@test("system-versal", VERSAL)
def everything(board):
    """2,000 CAN FD frames answered by a guest whose disk, network, sockets, entropy and second console are in use: none lost."""
    board.read("head -c 4194304 /dev/zero >/tmp/disk.raw; rm -f /tmp/hvc.log; /t/vsock_echo serve 1000 3 >/tmp/served 2>&1 &")
    with bound(board, CANFD), tap(board):
        machine = Machine(board, configuration(
            "console=ttyAMA0 quiet", memory="128M", kernel="/t/Image", initrd="/t/ecu.initrd",
            platform=((CANFD, "none", RECIPE),)) + DEVICES)
        interface = board.read("ls /sys/bus/platform/devices/ff060000.canfd/net").strip()
        exchange = board.read(f"/t/ecu_tester exchange {interface}", 240)
        received = int(board.read("cat /sys/class/net/tap0/statistics/rx_packets"))
        board.read(f"/t/ecu_tester power-off {interface}")
        equal("exit status", machine.wait(120), 0)
        board.read(f"ip link set {interface} down")
        figures = statistics(board)
    words = dict(re.findall(r"(\w+)=(\d+)", exchange))
    for name, value in (("frames", FRAMES), ("lost", 0), ("corrupted", 0)):
        equal(f"{name} ({exchange})", int(words[name]), value)
    controller, = figures["devices"]
    equal("userspace_irqs", controller["userspace_irqs"], 0)
    at_least("interrupts of the controller", controller["interrupts"], FRAMES)
    devices = {device["name"]: device for device in figures["virtio"]}
    equal("failures", [device["failures"] for device in devices.values()], [0] * len(devices))
    for name, bytes_read, bytes_written in (("disk0", 4 << 20, 256 << 10), ("net0", 1000, 1000),
                                            ("rng", 2048, 0)):
        at_least(f"bytes read from {name}", devices[name]["bytes_read"], bytes_read)
        at_least(f"bytes written to {name}", devices[name]["bytes_written"], bytes_written)
        equal(f"errors of {name}", devices[name]["errors"], 0)
    at_least("packets that came from the guest", received, 10)
    # It ends with the third.
    true("connections by sockets", "served connections=3 bytes=300000 " in board.read("cat /tmp/served"), figures)
    lines = re.findall(r"^line (\d+)\r?$", board.read("cat /tmp/hvc.log"), re.M)
    true("lines of the second console", len(lines) > 10, lines)
    equal("lines in their order", lines, [str(number + 1) for number in range(len(lines))])
