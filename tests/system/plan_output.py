# SPDX-License-Identifier: Apache-2.0
"""--check, --print-plan and --dump-dtb: each stage of a machine, without a machine."""

import base64
import re
import subprocess

from board import ONE_CPU, BoardKind
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


ADDRESS, SPI = 0x2000_0000, 77
OVERLAY = """/dts-v1/;
/plugin/;
&{/pl031@20000000} { acme,from-overlay = <7>; };
&{/} { acme-panel { compatible = "acme,panel"; }; };
"""
OF_ONE_S_OWN = (PL031, "iommu", f"address = {ADDRESS:#x}", f"spi = {SPI}", 'drop = ["clock-names"]',
                'properties = { "acme,speed" = 1000, "acme,flag" = true }')


@test("system-virt", ONE_CPU)
def of_one_s_own(board):
    """address, spi, drop, properties and an overlay: they are in the tree, and the device interrupts there."""
    blob = subprocess.run(["dtc", "-@", "-I", "dts", "-O", "dtb", "-"], input=OVERLAY.encode(), check=True,
                          stdout=subprocess.PIPE).stdout
    board.write("/tmp/own.dtbo", blob)

    def own(cmdline):
        return configuration(cmdline, platform=(OF_ONE_S_OWN,)).replace(
            "[boot]", '[boot]\noverlay = ["own.dtbo"]')

    with bound(board):
        tree = dumped(board, own(""))
        places = Finished(board, own("mode=regions"))
        counted = Finished(board, own("mode=interrupts count=100"))
    node = re.search(r"pl031@20000000 *\{(.*?)\};", tree, re.S)
    true("the node", node, tree)
    for text in ("acme,speed = <0x3e8>;", "acme,flag;", "acme,from-overlay = <0x07>;"):
        true(text, text in node[1], node[1])
    true("no clock-names", "clock-names" not in node[1], node[1])
    true("the overlay's node", 'compatible = "acme,panel"' in tree, tree)
    equal("address", int(places.lines("reg=")[0]["address"], 0), ADDRESS)
    equal("INTID", int(places.lines("interrupt=")[0]["intid"]), SPI + 32)
    equal("exit status", counted.status, 0)
    line = counted.lines("interrupts")[-1]
    equal("interrupts", (line["interrupts"], line["raised"], line["spurious"]), ("100", "100", "0"))
    equal("host and guest", counted.statistics["devices"][0]["interrupts"], 100)


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
