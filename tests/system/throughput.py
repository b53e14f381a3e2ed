# SPDX-License-Identifier: Apache-2.0
"""What an Ethernet controller carries in a guest, beside the same controller and driver without a hypervisor."""

import json
import re
from dataclasses import dataclass

from board import TOP, BoardKind
from host import Finished, bound
from suite import at_least, at_most, equal, test
from versal_identity import GEM, GUEST, HOST, HUGE_PAGES, ethernet, network, wire

# The emulated controller has sent a frame when the store that starts it is done, and interrupts for each; at a wire's
# pace, 12 us a frame, one would come for many. Interrupts in threads that do not preempt come to the same.
BOARD = BoardKind("versal",
                  ("--icount", "--tree", str(TOP / "tests/system/trees/coherent_ethernet.dts")),
                  (f"hugepages={HUGE_PAGES}", "wired", "threadirqs"), network)
MIB = 8
# A window of fewer frames than the controllers' rings hold.
WINDOW_KIB = 160
CLIENT = f"-c {HOST} -n {MIB}M -w {WINDOW_KIB}K -J"
SHARE = 0.90
# Twice, as where a connection's bursts fall differs: the better one counts, of either contender.
DIRECTIONS = {"sends": "--version4", "receives": "--reverse"}
ROUNDS = 2


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


def without_hypervisor(board):
    with far_end(board) as far:
        board.read("/t/batch_interrupts eth")
        transfers = [transfer(far.run(f"sleep 1; iperf3 {CLIENT} {option}"))
                     for option in (*DIRECTIONS.values(),) * ROUNDS]
        return transfers, far.frames()


def in_guest(board):
    with bound(board, GEM):
        run = Finished(board, ethernet("iperf iperf=" + CLIENT.replace(" ", ",")), 300,
                       before="/t/batch_interrupts eth vfio &")
    equal(f"exit status\n{run}", run.status, 0)
    device = run.statistics["devices"][0]
    at_least("interrupts", device["interrupts"], 10)
    equal("in user space", device["userspace_irqs"], 0)
    equal("trapped", device["trapped_reads"] + device["trapped_writes"], 0)
    reports = re.findall(r"@@report\n(.*?)@@end", run.output, re.DOTALL)
    return [transfer(report) for report in reports], frames(run.output, "eth0")


def best(name, transfers):
    """{direction: Mbit/s}."""
    equal(f"{name}: transfers", len(transfers), ROUNDS * len(DIRECTIONS))
    rates = dict.fromkeys(DIRECTIONS, 0.0)
    for direction, it in zip((*DIRECTIONS,) * ROUNDS, transfers):
        print(f"    {name} {direction}: {it}")
        at_least(f"{name} {direction}: bytes sent", it.sent, MIB << 20)
        # The server ends with the client, and may leave unread what its socket has: Linux gives it twice -w.
        at_most(f"{name} {direction}: bytes not read", it.sent - it.received, WINDOW_KIB << 12)
        rates[direction] = max(rates[direction], it.rate)
    return rates


@test("figures", BOARD)
def throughput(board):
    """iperf3 through a GEM in the guest carries at least 90 % of what it does without a hypervisor."""
    rates = {}
    with wire(board) as host:
        board.read("iperf3 -s >/dev/null 2>&1 & server=$!")
        for name, contender in (("bare", without_hypervisor), ("guest", in_guest)):
            before = host.count("rx_packets"), host.count("tx_packets")
            transfers, (received, sent) = contender(board)
            rates[name] = best(name, transfers)
            equal(f"{name}: frames that the host received",
                  host.count("rx_packets") - before[0], sent)
            equal(f"{name}: frames that the host sent", host.count("tx_packets") - before[1], received)
        board.read("kill $server; wait $server; true")
    for direction in DIRECTIONS:
        at_least(f"{direction}: of the rate without a hypervisor",
                 rates["guest"][direction] / rates["bare"][direction], SHARE)
