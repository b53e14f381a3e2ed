# SPDX-License-Identifier: Apache-2.0
"""All virtio devices in one guest, in use while their drivers and their guest come and go: all work each time."""

import re

from host import Machine, configuration, statistics
from suite import at_least, at_most, equal, test
from together_guest import ALL_WORK, BULK_PORT, NETWORKS, PORT, SENT
from virtio_disk import BOARD
from virtio_gpio import LABEL, Chip
from virtio_net import tap

MEMORY_MIB = 64
DISK = "/tmp/disk.raw"
DEVICES = f"""
[[disk]]
path = "{DISK}"
[[net]]
tap = "tap0"
[[net]]
tap = "tap1"
vhost = true
[[console]]
kind = "pl011"
[[console]]
path = "/tmp/hvc.log"
[rng]
[vsock]
cid = 3
[[gpio]]
lines = ["{LABEL}:0", "{LABEL}:1"]
"""
NAMES = ["disk0", "net0", "net1", "rng", "vsock", "hvc0", "gpio0"]


def linux(script, times):
    return configuration(f"console=ttyAMA0 quiet test={script} times={times}", memory=f"{MEMORY_MIB}M",
                         kernel="/t/Image", initrd="/t/together.initrd", platform=()) + DEVICES


class Ends:
    """with Ends(board, connections) as ends: what the host has for each of the guest's devices; a server of sockets for
    so many connections, and one for such that are cut off."""

    def __init__(self, board, connections):
        self.board, self.connections = board, connections
        self.taps = [tap(board, name=f"tap{index}", address=f"{net}.1") for index, net in enumerate(NETWORKS)]

    def __enter__(self):
        for end in self.taps:
            end.__enter__()
        self.chip = Chip(self.board)
        self.chip.pull(1, 1)
        self.board.read(
            f"rm -f {DISK} /tmp/hvc.log /tmp/in; head -c 16777216 /dev/zero >{DISK}; mkfifo /tmp/in; exec 8<>/tmp/in\n"
            f"/t/vsock_echo serve {PORT} {self.connections} >/tmp/served & served=$!\n"
            f"/t/vsock_echo serve {BULK_PORT} 1000000 >/dev/null & bulk=$!")
        return self

    def served(self):
        """What the connections that end have carried; it ends with the last of them."""
        return re.search(r"connections=(\d+) bytes=(\d+)", self.board.read("wait $served; cat /tmp/served")).groups()

    def __exit__(self, kind, *exception):
        if kind is None:
            self.board.read("kill $bulk; wait $bulk; exec 8>&-; rm -f /tmp/hvc.log")
        for end in self.taps:
            end.__exit__(kind, *exception)


def finished(machine, ends, word, times):
    """What must be true of a machine whose guest counted to `times`; its statistics."""
    equal("exit status", machine.wait(), 0)
    expected = [" ".join((f"{word}={time}", *ALL_WORK)) for time in range(1, times + 1)]
    equal("what works", re.findall(rf"^{word}=.*$", machine.output(), re.M), expected)
    equal("connections and bytes", ends.served(), (str(times), str(times * SENT)))
    logged = machine.board.read(f"tr -d '\\000\\r' </tmp/hvc.log | grep {word}=")
    equal("lines of the console", logged.splitlines(), expected)
    figures = statistics(machine.board)
    failures = [(device["name"], device["failures"]) for device in figures["virtio"]]
    equal("failures", failures, [(name, 0) for name in NAMES])
    return figures


@test("system-virtio", BOARD)
def drivers_together(board):
    """Each driver but the disk's unbound and bound 50 times with all devices in use: all carry something each time."""
    with Ends(board, 50) as ends:
        machine = Machine(board, linux("rebind", 50))
        machine.wait_for_times("^again=", 50, 240)
        finished(machine, ends, "again", 50)


class Process:
    """What the VMM has of the host."""

    def __init__(self, board, machine):
        text = board.read(f"cd /proc/{machine.pid()}; ls fd | wc -l; ls task | wc -l; cat smaps")
        self.descriptors, self.threads = map(int, text.split()[:2])
        mappings = re.findall(
            r"^[0-9a-f]+-[0-9a-f]+(?: +\S+){4} *(.*)\nSize: +(\d+) kB\n(?:(?!Rss).*\n)*Rss: +(\d+) kB", text, re.M)
        # But the guest's memory, and what it reads of the disk, which is mapped.
        at_least("mappings of the disk", sum(name == DISK for name, _, _ in mappings), 1)
        self.resident_kib = sum(int(rss) for name, size, rss in mappings
                                if name != DISK and int(size) < MEMORY_MIB << 10)


@test("system-virtio", BOARD)
def reboots_together(board):
    """20 boots, each left with all devices in use: all carry something in each, and the VMM has no more at the end."""
    with Ends(board, 20) as ends:
        machine = Machine(board, linux("reboot", 20), stdin="/tmp/in")
        processes = []
        for stop in (1, 2):
            machine.wait_for_times("^in.use", stop, 240)
            equal("the guest's output", ends.chip.value(0), 1)
            processes.append(Process(board, machine))
            board.read("echo >/tmp/in")
        figures = finished(machine, ends, "boot", 20)
        equal("boots", figures["boots"], 20)
        equal("count on the disk", board.read(f"head -c 2 {DISK}"), "20")
        at_least("packets of the second network", ends.taps[1].count("rx_packets"), 20 * 5)
    # What was under way when the guest went.
    disk, net, _, rng, _, console, _ = figures["virtio"]
    for device, name, least in ((disk, "bytes_read", 1 << 13), (disk, "bytes_written", 1 << 13),
                                (net, "bytes_written", 5 * 1400), (rng, "bytes_read", 512),
                                (console, "bytes_written", 512)):
        at_least(f"{name} of {device['name']}", device[name], 20 * least)
    first, last = processes
    print(f"    second boot: {vars(first)}, 20th: {vars(last)}")
    equal("descriptors", last.descriptors, first.descriptors)
    equal("threads", last.threads, first.threads)
    at_most("KiB beside the guest's memory", last.resident_kib, first.resident_kib + 64)
