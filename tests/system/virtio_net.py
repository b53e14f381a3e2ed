# SPDX-License-Identifier: Apache-2.0
"""Networks of Linux guests, by its own virtio driver: what a tap of the host's and the guest's interface see."""

import re

from host import Finished, Machine, configuration
from net_guest import GUEST, HOST
from suite import at_least, at_most, equal, test, true
from virtio_disk import BOARD, told

TAP = "tap0"


def linux(script, *lines, extra="", cpus=1):
    return configuration(f"console=ttyAMA0 quiet test={script}", memory="64M", kernel="/t/Image",
                         initrd="/t/net.initrd", platform=(), cpus=cpus) + "[[net]]\n" + "".join(
                             f"{line}\n" for line in (f'tap = "{TAP}"', *lines)) + extra


class tap:
    """with tap(board): there is a tap, with the host's address."""

    def __init__(self, board, flags=""):
        self.board, self.flags = board, flags

    def __enter__(self):
        self.board.read(f"ip tuntap add {TAP} mode tap {self.flags} &&"
                        f" ip addr add {HOST}/24 dev {TAP} && ip link set {TAP} up")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.board.read(f"ip link del {TAP} 2>/dev/null; rm -f /tmp/peer*; true")

    def count(self, name):
        return int(self.board.read(f"cat /sys/class/net/{TAP}/statistics/{name}"))


def serve(port, connections):
    """The start of a server; what it has carried is in a file when it ends."""
    return f"/t/tcp_peer serve {port} {connections} >/tmp/peer{port} &"


def carried(board, port):
    return dict(re.findall(r"^(\w+)=(.*)$", board.read(f"cat /tmp/peer{port}"), re.M))


def equal_ends(board, run, name, port, connections):
    host = carried(board, port)
    equal(f"{name}: connections", host["connections"], str(connections))
    for what in ("connections", "up", "down"):
        equal(f"{name}: {what}, in the guest", told(run.output, f"{name}_{what}"), host[what])


def cpu_ticks(board, seconds):
    """What the VMM uses of a CPU in this time, in hundredths of a second."""
    words = board.read(f"cat /proc/$(pidof microvm)/stat; sleep {seconds};"
                       " cat /proc/$(pidof microvm)/stat").splitlines()
    first, second = (sum(map(int, line.rpartition(")")[2].split()[11:13])) for line in words)
    return second - first


@test("system-virtio", BOARD)
def traffic(board):
    """A flood of pings, 8 MiB and 2,000 connections: both ends have the same bytes and count the same packets."""
    with tap(board) as host:
        run = Finished(board, linux("traffic", 'mac = "52:54:00:00:00:07"'), 300,
                       before=serve(5001, 1) + serve(5002, 2000))
        equal(f"exit status\n{run}", run.status, 0)
        equal("mac", told(run.output, "mac"), "52:54:00:00:00:07")
        equal("pings", told(run.output, "pings"), "200 packets received")
        equal_ends(board, run, "bulk", 5001, 1)
        equal_ends(board, run, "short", 5002, 2000)
        equal("packets to the guest", host.count("tx_packets"), int(told(run.output, "rx_packets")))
        equal("packets of the guest", host.count("rx_packets"), int(told(run.output, "tx_packets")))
    net, = run.statistics["virtio"]
    print(f"    {net}")
    equal("name", net["name"], "net0")
    equal("bytes to the guest", net["bytes_read"], int(told(run.output, "rx_bytes")))
    equal("bytes of the guest", net["bytes_written"], int(told(run.output, "tx_bytes")))
    equal("errors", (net["errors"], net["failures"]), (0, 0))
