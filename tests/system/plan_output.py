# SPDX-License-Identifier: Apache-2.0
"""--check, --print-plan and --dump-dtb: each stage of a machine, without a machine."""

import base64
import re
import subprocess

from board import BoardKind
from host import PL031, Finished, bound, configuration
from suite import equal, test, true

VIRT = BoardKind("virt")
VERSAL = BoardKind("versal")
CANFD = "ff070000.canfd"


def plain(board, config, arguments):
    board.write("/tmp/vm.toml", config)
    result = board.run(f"microvm --config /tmp/vm.toml {arguments} </dev/null 2>/tmp/err")
    equal(f"exit status ({board.read('cat /tmp/err')})", result.status, 0)
    return result.output


def dumped(board, config):
    """The guest's tree as dtc prints it; dtc must have nothing to say about it."""
    plain(board, config, "--dump-dtb /tmp/guest.dtb")
    blob = base64.b64decode(board.read("base64 /tmp/guest.dtb"))
    dtc = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", "-"], input=blob, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal("dtc's exit status", dtc.returncode, 0)
    equal("dtc's findings", dtc.stderr.decode(), "")
    return dtc.stdout.decode()


@test("system-virt", VIRT)
def check(board):
    """--check says ok, starts nothing, and leaves the device free."""
    with bound(board):
        equal("output", plain(board, configuration("mode=off"), "--check"), "vm: ok\n")
        equal("exit status of a run after it", Finished(board, configuration("mode=off")).status, 0)


@test("system-virt", VIRT)
def print_plan(board):
    """--print-plan shows the addresses and interrupts that the guest then finds."""
    with bound(board):
        plan = plain(board, configuration("mode=regions"), "--print-plan")
        again = plain(board, configuration("mode=regions"), "--print-plan")
        run = Finished(board, configuration("mode=regions"))
    equal("the same plan twice", again, plan)
    equal("exit status", run.status, 0)
    true("the device", PL031 in plan, plan)
    address = int(run.lines("reg=")[0]["address"], 0)
    true(f"its address, {address:#x}", re.search(rf"0x0*{address:x}\b", plan), plan)
    spi = int(run.lines("interrupt=")[0]["intid"]) - 32
    true(f"its SPI, {spi}", re.search(rf"\bSPI {spi}\b|\bspi[ =:]+{spi}\b", plan, re.I), plan)


@test("system-virt", VIRT)
def tree_of_pl031(board):
    """--dump-dtb, PL031 behind the SMMU: dtc has no finding; the node has the host's properties."""
    with bound(board):
        tree = dumped(board, configuration("console=ttyAMA0", cpus=2))
    node = re.search(r"pl031@[^{]*\{(.*?)\};", tree, re.S)
    true("there is a pl031 node", node, tree)
    for text in ('compatible = "arm,pl031"', "clock-names", "interrupts = <0x00 ", "reg = <"):
        true(text, text in node[1], node[1])
    true("no reference to the host's IOMMU", "iommus" not in node[1], node[1])
    equal("CPUs", len(re.findall(r"\bcpu@", tree)), 2)


@test("system-versal", VERSAL)
def tree_of_canfd(board):
    """--dump-dtb, CAN FD controller: dtc has no finding; clocks are fixed at the host's rates."""
    with bound(board, CANFD):
        tree = dumped(board, configuration("", platform=((CANFD, "none"),)))
    node = re.search(r"canfd@[^{]*\{(.*?)\};", tree, re.S)
    true("there is a canfd node", node, tree)
    for text in ('"xlnx,canfd-2.0"', "rx-fifo-depth", "tx-mailbox-count", "clocks = <"):
        true(text, text in node[1], node[1])
    true("fixed clocks of 25 MHz", "clock-frequency = <0x17d7840>" in tree, tree)


@test("system-virt", VIRT)
def tree_without_devices(board):
    """--dump-dtb without devices and with 17 vCPUs and all features: dtc has no finding."""
    tree = dumped(board, configuration("", cpus=17, platform=(), memory="4G"))
    equal("CPUs", len(re.findall(r"\bcpu@", tree)), 17)
    true("affinity of the last", "cpu@100" in tree, tree)
