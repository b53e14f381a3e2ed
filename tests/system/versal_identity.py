# SPDX-License-Identifier: Apache-2.0
"""DMA without an IOMMU: guests whose RAM is at the host's addresses."""

import re

from board import BoardKind
from host import Finished, Machine, bound, configuration, statistics
from suite import at_least, equal, test, true

HUGE_PAGES = 40
FILE = "/dev/hugepages/vm"
DMA = "ffa80000.dma"
VERSAL = BoardKind("versal", (), (f"hugepages={HUGE_PAGES}",))

# Channel off, interrupts off (Zynq UltraScale+ registers: ZDMA_CH_CTRL2, ZDMA_CH_IDS).
DMA_AT_REST = """[[platform.recipe]]
write = 0
offset = 0x200
mask = 1
[[platform.recipe]]
write = 0xfff
offset = 0x10c"""


def identity(test_, device=(DMA, "identity", DMA_AT_REST), memory="64M"):
    """A Linux guest with the drivers of what it is given."""
    return configuration(f"console=ttyAMA0 quiet test={test_}", memory=memory, kernel="/t/Image",
                         initrd="/t/identity.initrd", platform=(device,),
                         extra_memory=f'identity_file = "{FILE}"')


def free_pages(board):
    return int(board.read("awk '/HugePages_Free/ { print $2 }' /proc/meminfo"))


@test("system-versal", VERSAL)
def dma_engine(board):
    """dma = "identity": 1,000 rounds of dmatest in the guest, without an error."""
    with bound(board, DMA):
        board.write("/tmp/vm.toml", identity("dma"))
        plan = board.read("microvm --config /tmp/vm.toml --print-plan")
        equal("huge pages free after --print-plan", free_pages(board), HUGE_PAGES)
        run = Finished(board, identity("dma"), 300)
    equal(f"exit status\n{run}", run.status, 0)
    summary = re.search(r"summary (\d+) tests, (\d+) failures", run.output)
    true("dmatest's summary", summary, run)
    equal("rounds", summary[1], "1000")
    equal("failures", summary[2], "0")
    device = run.statistics["devices"][0]
    at_least("interrupts", device["interrupts"], 1000)
    equal("in user space", device["userspace_irqs"], 0)
    equal("trapped", device["trapped_reads"] + device["trapped_writes"], 0)
    true("the danger is told", "DANGER" in run.errors, run.errors)
    ranges = re.findall(r"^# RAM 0x(\w+)-0x(\w+)$", plan, re.MULTILINE)
    equal("MiB of RAM", sum(int(last, 16) + 1 - int(start, 16) for start, last in ranges) >> 20, 64)
    equal("huge pages free at the end", free_pages(board), HUGE_PAGES)
    equal("the file", board.run(f"test -e {FILE}").status, 1)


@test("system-versal", VERSAL)
def killed_with_dma(board):
    """dma = "identity": kill -9 in the midst of DMA keeps the RAM, and the next start takes it over."""
    with bound(board, DMA):
        machine = Machine(board, identity("endless"))
        machine.wait_for("^copying", 60)
        machine.signal("KILL")
        machine.wait()
        equal("huge pages free after the kill", free_pages(board), HUGE_PAGES - 32)
        wrong = Finished(board, identity("dma", memory="96M"))
        equal("exit status with another size", wrong.status, 1)
        true("it says so", "left over from a machine that was killed" in wrong.errors, wrong.errors)
        with bound(board, "ffa90000.dma"):
            other = Finished(board, identity("dma").replace(DMA, "ffa90000.dma"))
        equal("exit status with another device", other.status, 1)
        true("it says so", f"which had '{DMA}'" in other.errors, other.errors)
        equal("huge pages free after that", free_pages(board), HUGE_PAGES - 32)
        run = Finished(board, identity("dma"), 300)
    equal(f"exit status\n{run}", run.status, 0)
    true("no error of dmatest", "summary 1000 tests, 0 failures" in run.output, run)
    equal("huge pages free at the end", free_pages(board), HUGE_PAGES)
    equal("what is left beside the file", board.read("ls /dev/hugepages").split(), [])


@test("system-versal", VERSAL)
def one_user(board):
    """dma = "identity": RAM's file is one machine's; stopping it gives the pages back."""
    with bound(board, DMA):
        machine = Machine(board, identity("endless"))
        machine.wait_for("^copying", 60)
        board.write("/tmp/other.toml", identity("dma").replace(DMA, "ffa90000.dma"))
        board.read("microvm device bind ffa90000.dma")
        other = board.run("microvm --config /tmp/other.toml --check 2>&1")
        board.read("microvm device unbind ffa90000.dma")
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
    equal("exit status of the other", other.status, 1)
    true("it says so", "another process has it" in other.output, other)
    equal("huge pages free at the end", free_pages(board), HUGE_PAGES)
    equal("boots", statistics(board)["boots"], 1)


def network():
    """The two Ethernet controllers on one wire."""
    return ("-netdev", "hubport,id=h0,hubid=0", "-netdev", "hubport,id=h1,hubid=0",
            "-net", "nic,netdev=h0", "-net", "nic,netdev=h1")


WIRED = BoardKind("versal", (), (f"hugepages={HUGE_PAGES}", "wired"), network)
GEM = "ff0d0000.ethernet"
HOST, GUEST = "192.168.9.1", "192.168.9.2"
PINGS = 50

# Receiver and transmitter off, and the interrupts of both queues (Zynq UltraScale+ registers:
# GEM network_control, int_disable, int_q1_disable).
GEM_AT_REST = """[[platform.recipe]]
write = 0
offset = 0x0
[[platform.recipe]]
write = 0xffffffff
offset = 0x2c
[[platform.recipe]]
write = 0xffffffff
offset = 0x620
[[platform.recipe]]
delay_us = 100"""


def ethernet(test_):
    """The Linux guest with the controller, whose two queues have one line, listed twice."""
    return identity(test_, (GEM, "identity", GEM_AT_REST))


class wire:
    """with wire(board) as interface: the host's end of the wire is up."""

    def __init__(self, board):
        self.board = board

    def __enter__(self):
        self.interface = self.board.read(
            "ls /sys/bus/platform/devices/ff0c0000.ethernet/net").strip()
        self.board.read(f"ip addr add {HOST}/24 dev {self.interface}; ip link set {self.interface} up")
        return self

    def __exit__(self, *_):
        self.board.read(f"ip link set {self.interface} down; ip addr flush dev {self.interface}")

    def count(self, name):
        return int(self.board.read(f"cat /sys/class/net/{self.interface}/statistics/{name}"))


@test("system-versal", WIRED)
def gem(board):
    """dma = "identity": Gigabit Ethernet in the guest; pings and a file, counted at both ends."""
    with bound(board, GEM), wire(board) as host:
        received, sent = host.count("rx_packets"), host.count("tx_packets")
        board.read("httpd -f -p 5000 -h /t & httpd=$!")
        run = Finished(board, ethernet("net"), 300)
        board.read("kill $httpd; wait $httpd; true")
        received = host.count("rx_packets") - received
        sent = host.count("tx_packets") - sent
        checksum = board.read("md5sum </t/initrd").split()[0]
    equal(f"exit status\n{run}", run.status, 0)
    true("no ping is lost",
         f"{PINGS} packets transmitted, {PINGS} packets received" in run.output, run)
    equal("the file's checksum", re.search(r"^(\w{32})  -$", run.output, re.MULTILINE)[1], checksum)
    rx, tx = (int(re.search(rf"^{name}=(\d+)$", run.output, re.MULTILINE)[1])
              for name in ("rx_packets", "tx_packets"))
    at_least("frames sent by the guest", tx, PINGS)
    equal("frames of the guest that the host received", received, tx)
    equal("frames of the host that the guest received", rx, sent)
    device = run.statistics["devices"][0]
    at_least("interrupts", device["interrupts"], PINGS)
    equal("in user space", device["userspace_irqs"], 0)
    equal("trapped", device["trapped_reads"] + device["trapped_writes"], 0)
    equal("huge pages free at the end", free_pages(board), HUGE_PAGES)


@test("system-versal", WIRED)
def killed_while_receiving(board):
    """dma = "identity": a GEM receiving at the kill writes on into the kept RAM, and is quiet later."""

    def changes(path):
        """Whether frames for the guest change the RAM."""
        before = board.read(f"/t/sum_words <{path}")
        board.run(f"ping -c 5 -i 0.2 -W 1 {GUEST}", 30)
        return board.read(f"/t/sum_words <{path}") != before

    with bound(board, GEM), wire(board) as host:
        machine = Machine(board, ethernet("up"))
        machine.wait_for("^up", 60)
        board.read(f"ping -c 3 {GUEST}", 30)
        address = board.read(f"ip neigh show {GUEST}").split("lladdr ")[1].split()[0]
        # The guest will not answer who it is.
        board.read(f"ip neigh replace {GUEST} lladdr {address} nud permanent dev {host.interface}")
        board.read(f"ping -i 0.02 {GUEST} >/dev/null 2>&1 & ping=$!")
        machine.signal("KILL")
        machine.wait()
        board.read("kill $ping; wait $ping; true")
        true("after the kill frames are written to RAM", changes(FILE))
        equal("huge pages free after the kill", free_pages(board), HUGE_PAGES - 32)
        # Whoever holds the file sees what happens to its pages, also when it is removed.
        board.read(f"exec 7<{FILE}")
        run = Finished(board, ethernet("nothing"), 120)
        equal(f"exit status\n{run}", run.status, 0)
        equal("the file", board.run(f"test -e {FILE}").status, 1)
        true("after the next start none are", not changes("/proc/$$/fd/7"))
        board.read("exec 7<&-")
        equal("huge pages free at the end", free_pages(board), HUGE_PAGES)
        run = Finished(board, ethernet("net_only"), 300)
        true("and the controller works again",
             f"{PINGS} packets transmitted, {PINGS} packets received" in run.output, run)
        board.read(f"ip neigh del {GUEST} dev {host.interface}")
