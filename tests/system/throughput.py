# SPDX-License-Identifier: Apache-2.0
"""What an Ethernet controller carries in a guest, beside the same controller and driver without a hypervisor."""

import json
import re
import statistics
from dataclasses import dataclass

from board import TOP, BoardKind
from host import Finished, bound
from suite import at_least, at_most, equal, test
from versal_identity import GEM, GUEST, HOST, HUGE_PAGES, ethernet, network, wire

# The emulated controller has sent a frame when the store that starts it is done, and interrupts for each; at a wire's
# pace, 12 us a frame, one would come for many. Threads of interrupts that do not preempt what runs come to the same. A
# controller that receives interrupts for many frames by itself, and its thread is better woken at once.
BOARD = BoardKind("versal",
                  ("--icount", "--tree", str(TOP / "tests/system/trees/coherent_ethernet.dts")),
                  (f"hugepages={HUGE_PAGES}", "wired", "threadirqs"), network)
MIB = 16
# The server ends with the client, and may leave unread what its socket has: Linux gives it twice -w.
UNREAD = 4 * 160 * 1024
# The kernel's own limit of -w is lower.
MORE_BUFFERS = "echo 1000000 | tee /proc/sys/net/core/rmem_max >/proc/sys/net/core/wmem_max"
CLIENT = f"-c {HOST} -n {MIB}M -J"
SHARE = 0.90
# {direction: (iperf3's options, policy of the interrupts' threads)}; windows of fewer frames than the controllers'
# rings hold, which a sender fills at once.
DIRECTIONS = {"sends": ("-w 160K", "batch"), "receives": ("-w 320K --reverse", "other")}
ROUNDS = 4


@dataclass
class Transfer:
    """The end of iperf3's report."""

    sent: int
    received: int
    rate: float  # Mbit/s, as the receiver has it


def transfer(report):
    end = json.loads(report)["end"]
    return Transfer(end["sum_sent"]["bytes"], end["sum_received"]["bytes"],
                    end["sum_received"]["bits_per_second"] / 1e6)


def frames(interfaces, name):
    """Frames received and sent, by the text of /proc/net/dev."""
    words = re.search(rf"^ *{name}:(.*)$", interfaces, re.MULTILINE)[1].split()
    return int(words[1]), int(words[9])


class far_end:
    """with far_end(board) as run: the guest's controller is the host's, in a network namespace; so what
    the two ends tell each other crosses the wire."""

    def __init__(self, board):
        self.board = board

    def __enter__(self):
        self.name = self.board.read(f"ls /sys/bus/platform/devices/{GEM}/net").strip()
        self.board.read(f"unshare -n sleep 100000 & far=$!; sleep 0.5; ip link set {self.name} netns $far")
        self.before = self._counts()
        self.run(f"ip addr add {GUEST}/24 dev {self.name}")
        self.run(f"ip link set {self.name} up; sleep 2")
        return self

    def __exit__(self, *_):
        self.run(f"ip link set {self.name} down; ip addr flush dev {self.name}")
        self.board.read("kill $far; wait $far; sleep 0.5; true")

    def run(self, command):
        return self.board.read(f"nsenter -t $far -n sh -c '{command}'", 120)

    def _counts(self):
        return frames(self.run("sleep 1; cat /proc/net/dev"), self.name)

    def frames(self):
        return tuple(now - before for now, before in zip(self._counts(), self.before))


def without_hypervisor(board, option, policy):
    with far_end(board) as far:
        board.read(f"/t/interrupt_threads {policy} eth")
        transfers = [transfer(far.run(f"sleep 1; iperf3 {CLIENT} {option}")) for _ in range(ROUNDS)]
        return transfers, far.frames()


def in_guest(board, option, policy):
    with bound(board, GEM):
        run = Finished(board, ethernet("iperf iperf=" + f"{CLIENT} {option}".replace(" ", ",")), 300,
                       before=f"/t/interrupt_threads {policy} eth vfio &")
    equal(f"exit status\n{run}", run.status, 0)
    device = run.statistics["devices"][0]
    at_least("interrupts", device["interrupts"], 10)
    equal("in user space", device["userspace_irqs"], 0)
    equal("trapped", device["trapped_reads"] + device["trapped_writes"], 0)
    reports = re.findall(r"@@report\n(.*?)@@end", run.output, re.DOTALL)
    return [transfer(report) for report in reports], frames(run.output, "eth0")


def rate_of(name, transfers):
    """The mean, in Mbit/s."""
    equal(f"{name}: transfers", len(transfers), ROUNDS)
    for it in transfers:
        print(f"    {name}: {it}")
        at_least(f"{name}: bytes sent", it.sent, MIB << 20)
        at_most(f"{name}: bytes not read", it.sent - it.received, UNREAD)
    return statistics.mean(it.rate for it in transfers)


def measure(board, host, name, contender, direction):
    before = host.count("rx_packets"), host.count("tx_packets")
    transfers, (received, sent) = contender(board, *DIRECTIONS[direction])
    equal(f"{name}: frames that the host received", host.count("rx_packets") - before[0], sent)
    equal(f"{name}: frames that the host sent", host.count("tx_packets") - before[1], received)
    return rate_of(f"{name} {direction}", transfers)


@test("figures", BOARD)
def throughput(board):
    """iperf3 through a GEM in the guest carries at least 90 % of what it does without a hypervisor."""
    with wire(board) as host:
        board.read(MORE_BUFFERS + "; iperf3 -s >/dev/null 2>&1 & server=$!")
        shares = {direction: measure(board, host, "guest", in_guest, direction)
                  / measure(board, host, "bare", without_hypervisor, direction)
                  for direction in DIRECTIONS}
        board.read("kill $server; wait $server; true")
    print(f"    guest over bare: {shares}")
    for direction, share in shares.items():
        at_least(f"{direction}: of the rate without a hypervisor", share, SHARE)
