# SPDX-License-Identifier: Apache-2.0
"""GPIO lines of the host's in Linux guests, by virtio and as a PL061: what both ends see of them."""

import re
import socket
import time

from host import Machine, configuration, statistics
from refusal import SET_UP, refused, run
from suite import at_least, at_most, equal, test, true
from virtio_disk import BOARD, MONITOR

LABEL = "test-chip"
SIM = "/sys/kernel/config/gpio-sim/test"
VIRTIO = "virtio"
PL061 = "pl061"
EDGES = 200

# Eight lines of a simulated chip, which its files pull and watch.
MAKE_CHIP = f"""[ -e {SIM} ] || {{
  [ -e /sys/kernel/config/gpio-sim ] || mount -t configfs none /sys/kernel/config
  mkdir -p {SIM}/bank0/line5 && echo 8 >{SIM}/bank0/num_lines && echo {LABEL} >{SIM}/bank0/label &&
  echo spare >{SIM}/bank0/line5/name
}}
[ $(cat {SIM}/live) = 1 ] || echo 1 >{SIM}/live
cd /sys/devices/platform/$(cat {SIM}/dev_name)/$(cat {SIM}/bank0/chip_name) && pwd
cd / && cat {SIM}/bank0/chip_name"""


class Chip:
    """The host's simulated chip."""

    def __init__(self, board):
        self.board = board
        self.path, self.name = board.read(MAKE_CHIP).split()
        for line in range(8):
            self.pull(line, 0)

    def file(self, line, name):
        return f"{self.path}/sim_gpio{line}/{name}"

    def pull(self, line, high):
        self.board.read(f"echo pull-{'up' if high else 'down'} >{self.file(line, 'pull')}")

    def value(self, line):
        return int(self.board.read(f"cat {self.file(line, 'value')}"))

    def info(self):
        return self.board.read(f"/t/gpio info {self.name}")


def lines(chip):
    return [f'"{LABEL}:0"',
            f'{{ line = "/dev/{chip.name}:1", direction = "in", name = "button" }}',
            f'{{ line = "{chip.name}:2", direction = "in", edges = "none" }}',
            f'{{ line = "{chip.name}:3", direction = "out", name = "relay" }}',
            f'{{ line = "{LABEL}:spare", edges = "rising" }}']


def linux(model, gpio_lines, script="commands"):
    return configuration(f"console=ttyAMA0 quiet test={script}", memory="64M", kernel="/t/Image",
                         initrd="/t/virtio.initrd", platform=()) + (
        f'[[gpio]]\nmodel = "{model}"\nlines = [{", ".join(gpio_lines)}]\n')


class Guest:
    """A machine whose guest does what it is told, by its console."""

    def __init__(self, board, config):
        self.board, self._count = board, 0
        board.read("rm -f /tmp/in; mkfifo /tmp/in; exec 8<>/tmp/in")
        self.machine = Machine(board, config, stdin="/tmp/in")
        self.begin()

    def begin(self, boots=1):
        self.machine.wait_for_times("^ready", boots)

    def tell(self, command):
        self.board.write("/tmp/command", command + "\n")
        self.board.read("cat /tmp/command >/tmp/in")

    def ask(self, command):
        """What it says to a command, once that has ended."""
        self._count += 1
        mark = f"@{self._count}"
        self.tell(f"echo {mark}begin; {command}; echo {mark}end")
        self.machine.wait_for(f"{mark}end", 60)
        return self.machine.output().split(f"{mark}begin\n", 1)[1].split(f"{mark}end\n")[0]

    def end(self):
        self.tell("poweroff -f")
        equal("exit status", self.machine.wait(), 0)
        self.board.read("exec 8>&-")
        return statistics(self.board)


def told(text, name):
    """What a program said of this, once."""
    found = re.findall(rf"\b{name}=(\S*)", text)
    equal(f"times it says {name} ({text})", len(found), 1)
    return found[0]


def names(guest):
    text = guest.ask("gpio info gpiochip0")
    found = re.findall(r"^line=\d name=(\S*) direction=in ", text.replace("\r", ""), re.MULTILINE)
    equal("names of lines", found[:5], ["", "button", "", "relay", ""])
    return found


def hold(guest, line, high):
    """The guest drives a line until it is told to let_go."""
    guest.ask(f"gpio out gpiochip0 {line} {high} >/out & echo $! >/pid; "
              "while [ ! -s /out ]; do sleep 0.05; done")
    return guest.ask("cat /out; rm /out")


def let_go(guest):
    guest.ask("kill $(cat /pid); wait; sleep 0.1")


def drive(guest, chip):
    """An output of the guest's is what the host sees."""
    for line, high in ((0, 1), (0, 0), (3, 1), (4, 1)):
        equal("the guest drives", told(hold(guest, line, high), "out"), str(high))
        equal("the host sees", chip.value((0, 1, 2, 3, 5)[line]), high)
        true("the host says who drives", re.search(r"direction=out consumer=microvm:vm", chip.info()),
             chip.info())
        let_go(guest)


def read(guest, chip):
    """What is pulled on the host is what the guest reads."""
    for line, high in ((0, 1), (1, 1), (1, 0), (2, 1), (2, 0), (0, 0)):
        guest.ask(f"gpio get gpiochip0 {line}")  # from now on it is an input
        chip.pull(line, high)
        equal(f"line {line}", told(guest.ask(f"gpio get gpiochip0 {line}"), "value"), str(high))


def denied(guest, chip, model):
    """What the configuration does not allow has no effect."""
    before = chip.info().splitlines()[1:4]
    hold(guest, 2, 1)  # a PL061 has no way to say so
    if model == PL061:
        let_go(guest)
    for command in ("out gpiochip0 1 1", "get gpiochip0 3"):
        if model == VIRTIO:
            true(command, "refused=" in guest.ask(f"gpio {command}"))
    for command in ("watch gpiochip0 2 rising", "watch gpiochip0 4 both"):
        guest.ask(f"gpio {command}")  # Linux does not look whether it may
    equal("the host's lines", chip.info().splitlines()[1:4], before)


def echo(guest, chip):
    """Each edge on the host is answered by the guest before the next: as many at both ends."""
    guest.ask(f"gpio echo gpiochip0 1 0 {EDGES} >/out & "
              "while [ ! -s /out ]; do sleep 0.05; done")
    count = chip.board.read(f"""n=0; tries=0
        while [ $n -lt {EDGES} ]; do
          n=$((n + 1)); high=$((n % 2))
          [ $high = 1 ] && echo pull-up >{chip.file(1, 'pull')} || echo pull-down >{chip.file(1, 'pull')}
          until read value <{chip.file(0, 'value')} && [ $value = $high ]; do
            tries=$((tries + 1)); [ $tries -lt 1000000 ] || break 2
          done
        done; echo $n""", 200)
    equal("edges on the host", count.strip(), str(EDGES))
    said = guest.ask("wait; cat /out; rm /out")
    equal("rising edges in the guest", told(said, "rising"), str(EDGES // 2))
    equal("falling edges in the guest", told(said, "falling"), str(EDGES // 2))


def one_owner(board, chip, model):
    """A line is one machine's; what else is wrong is told with it."""
    config = linux(model, [f'"{chip.name}:1"', '"no-chip:0"', f'"{LABEL}:99"', f'"{LABEL}:none"'])
    for arguments in ("", "--check"):
        refused(run(board, config, arguments), SET_UP, "in use by 'microvm:vm'", "no GPIO chip 'no-chip'",
                "lines 0 to 7", "no line of that name", "gpioinfo shows who")


def gone(guest, chip):
    """The host's chip goes away: the guest is told, and nobody spins."""
    chip.board.read(f"echo 0 >{SIM}/live")
    guest.ask("gpio get gpiochip0 1")
    used = [int(chip.board.read("cut -d' ' -f14,15 /proc/$(pidof microvm)/stat | tr ' ' +;"
                                " sleep 1").strip().split("+")[0]) for _ in (0, 1)]
    at_most("ticks of the host in a second of silence", used[1] - used[0], 30)


def both_ends(board, model):
    chip = Chip(board)
    guest = Guest(board, linux(model, lines(chip)))
    equal("lines", len(names(guest)), 5 if model == VIRTIO else 8)
    drive(guest, chip)
    read(guest, chip)
    denied(guest, chip, model)
    echo(guest, chip)
    one_owner(board, chip, model)
    guest.ask("true")
    hold(guest, 0, 1)
    guest.tell("reboot -f")
    guest.begin(2)
    true("a reboot lets go of an output", "direction=out" not in chip.info(), chip.info())
    hold(guest, 0, 1)
    true("it is driven again", "direction=out" in chip.info(), chip.info())
    return chip, guest


@test("system-virtio", BOARD)
def virtio_lines(board):
    """GPIO by virtio: outputs, inputs, edges and what is denied, at both ends; a driver that goes, a chip that goes."""
    chip, guest = both_ends(board, VIRTIO)
    guest.ask("cd -P /sys/bus/virtio/devices/virtio0/driver; echo virtio0 >unbind; cd /")
    true("a driver that goes lets go of an output", "direction=out" not in chip.info(), chip.info())
    guest.ask("kill $(cat /pid); wait; sleep 0.1; cd /sys/bus/virtio/drivers/*gpio*; echo virtio0 >bind; cd /")
    equal("driven again", told(hold(guest, 0, 1), "out"), "1")
    gone(guest, chip)
    device = guest.end()["virtio"][0]
    equal("name", device["name"], "gpio0")
    equal("failures", device["failures"], 0)
    at_least("requests", device["requests"], 2 * EDGES)
    at_least("errors", device["errors"], 4)


@test("system-virtio", BOARD)
def pl061_lines(board):
    """GPIO as a PL061: outputs, inputs, edges and what is denied, at both ends; a chip that goes."""
    chip, guest = both_ends(board, PL061)
    gone(guest, chip)
    device = guest.end()["pl061"][0]
    equal("name", device["name"], "gpio0")
    at_least("edges", device["edges"], EDGES)
    at_least("interrupts", device["interrupts"], EDGES)
    at_least("errors", device["errors"], 1)


def press():
    """The board's power button, which is on line 3 of its PL061 for a tenth of a second."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(MONITOR)
        monitor.recv(4096)
        monitor.sendall(b"system_powerdown\n")
        time.sleep(0.5)


@test("system-virtio", BOARD)
def button(board):
    """GPIO of the board's own PL061: its button, counted by host and guest."""
    guest = Guest(board, linux(VIRTIO, ['{ line = "9030000.pl061:3", direction = "in" }', '"9030000.pl061:5"']))
    # What there is of the button's line, toggled for each of its edges.
    guest.ask("gpio echo gpiochip0 0 1 12 >/out & while [ ! -s /out ]; do sleep 0.05; done")
    for _ in range(5):
        press()
    counted = board.read("grep 'pl061 .*microvm:vm' /proc/interrupts")
    equal("edges on the host", re.findall(r":\s+(\d+) ", counted), ["10"])
    press()
    said = guest.ask("wait; cat /out; rm /out")
    equal("edges in the guest", (told(said, "rising"), told(said, "falling")), ("6", "6"))
    guest.end()
