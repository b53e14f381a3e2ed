# SPDX-License-Identifier: Apache-2.0
"""Virtio consoles of Linux guests: what either end sends, the other has, all of it or as it must be."""

import re

from board import LINE
from host import Machine, configuration, statistics
from suite import at_most, equal, test, true
from virt_console import echoed, lines_of_text
from virtio_disk import BOARD

SIZE = 1 << 17
# Any bytes, and their checksum.
MAKE_DATA = f"head -c {SIZE} /dev/urandom >/data; md5sum </data"


def linux(script, consoles, console="ttyAMA0", cpus=1):
    tables = "".join("[[console]]\n" + "".join(f"{line}\n" for line in lines) for lines in consoles)
    return configuration(f"console={console} quiet test={script}", memory="64M", kernel="/t/Image",
                         initrd="/t/virtio.initrd", platform=(), cpus=cpus) + tables


class Shell:
    """A guest's shell, on the machine's standard input and output."""

    def __init__(self, board, config):
        self.board, self.count = board, 0
        board.read("rm -f /tmp/in; mkfifo /tmp/in; exec 8<>/tmp/in")
        self.machine = Machine(board, config, stdin="/tmp/in")
        self.machine.wait_for("ready", 60)

    def type(self, command):
        true("a line that a terminal takes", len(command) < LINE)
        self.board.read(f"cat >/tmp/in <<'@@'\n{command}\n@@")

    def run(self, command, timeout=60):
        """What a command prints in the guest."""
        self.start(command)
        return self.finish(timeout)

    def start(self, command):
        self.count += 1
        # What is echoed is not what is printed.
        self.type(f"echo @@begin$(({self.count})); {command}; echo @@end$(({self.count}))")

    def finish(self, timeout=60):
        self.machine.wait_for(f"^@@end{self.count}\\b", timeout)
        return re.search(f"^@@begin{self.count}\n(.*?)^@@end{self.count}$", self.machine.output(),
                         re.M | re.S)[1]

    def wait(self):
        status = self.machine.wait()
        self.board.read("exec 8>&-")
        return status


def checksum(board, command):
    return board.read(f"{command} | md5sum").split()[0]


@test("system-virtio", BOARD)
def only_console(board):
    """A virtio console on standard streams: 1 MiB of output, 5,000 bytes of input, by checksum and count."""
    lines = lines_of_text(5000)
    board.write("/tmp/typed", "\n".join(lines) + "\nquit\n")
    board.write("/tmp/vm.toml", linux("hvc", [['kind = "hvc"']], "hvc0"))
    result = board.run(
        "rm -f /tmp/stats.json; : >/tmp/out; (until grep -q ready /tmp/out; do sleep 0.1; done; cat /tmp/typed)"
        " | microvm --config /tmp/vm.toml --stats /tmp/stats.json >/tmp/out", 240)
    equal("exit status", result.status, 0)
    sent = board.read("sed -n 's/^sent=//p' /tmp/out").split()[0]
    equal("output", checksum(board, "sed -n '/^@@begin/,/^@@end/p' /tmp/out | sed '1d;$d'"), sent)
    equal("input", echoed(board.read("grep ^echo: /tmp/out")), lines)
    [hvc] = statistics(board)["virtio"]
    equal("name", hvc["name"], "hvc0")
    equal("bytes to the guest", hvc["bytes_read"], sum(len(line) + 1 for line in lines) + 5)
    equal("bytes from the guest", hvc["bytes_written"], int(board.read("stat -c %s /tmp/out")))
    equal("failures", hvc["failures"], 0)


@test("system-virtio", BOARD)
def by_terminal(board):
    """A virtio console at a terminal: Ctrl-], an echo, SIGTERM; the terminal's modes come back."""
    board.write("/tmp/vm.toml", linux("echo", [['kind = "hvc"']], "hvc0"))
    before = board.read("stty -a")
    board.start("microvm --config /tmp/vm.toml")
    board.expect("^ready", 60)
    board.type("a\x1d\x1db\n")
    board.expect("^echo:a\x1db$", 20)
    board.type("\x1dx")
    board.expect("Ctrl-\\] q ends the guest", 20)
    # Typed in the guest, it is the guest's.
    board.type("\x03c\n")
    board.expect("^echo:\x03c$", 20)
    board.type("\x1dq")
    result = board.finish("microvm", 20)
    equal("exit status", result.status, 0)
    equal("terminal modes", board.read("stty -a"), before)
    board.start("(sleep 5; stty -a </dev/ttyAMA0 >/tmp/raw; kill -TERM $(pidof microvm)) </dev/null & "
                "microvm --config /tmp/vm.toml")
    result = board.finish("microvm", 30)
    equal("exit status after SIGTERM", result.status, 0)
    true("the terminal was raw", "-icanon" in board.read("cat /tmp/raw"))
    equal("terminal modes", board.read("stty -a"), before)


@test("system-virtio", BOARD)
def beside_another(board):
    """A PL011 beside virtio consoles: a file, a pseudo-terminal whose reader stalls, comes back and is killed."""
    board.read("mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; rm -f /tmp/hvc.log /tmp/typed /tmp/pty;"
               " mkfifo /tmp/typed; exec 7<>/tmp/typed")
    board.read("/t/pty_end /tmp/pty </tmp/typed >/tmp/pty.out & n=0; until [ -e /tmp/pty ]; do sleep 0.1; done")
    shell = Shell(board, linux("shell", [['kind = "pl011"'], ['path = "/tmp/pty"'],
                                         ['path = "/tmp/hvc.log"']]))
    shell.run("exec 7<>/dev/hvc0 8<>/dev/hvc1; stty raw -echo <&7; stty raw -echo <&8")
    sent = shell.run(MAKE_DATA).split()[0]

    shell.run("cat /data >&8", 120)
    equal("a file", checksum(board, "cat /tmp/hvc.log"), sent)
    equal("its mode", board.read("stat -c %a /tmp/hvc.log").strip(), "600")

    board.read("kill -STOP $(pidof pty_end)")
    shell.start("cat /data >&7")
    board.read("sleep 2")
    at_most("bytes that went without a reader", int(board.read("stat -c %s /tmp/pty.out")), SIZE // 2)
    true("the guest waits", f"@@end{shell.count}" not in shell.machine.output())
    board.read("kill -CONT $(pidof pty_end)")
    shell.finish(120)
    board.read(f"n=0; until [ $(stat -c %s /tmp/pty.out) = {SIZE} ] || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done")
    equal("a reader that was gone for a while", checksum(board, "cat /tmp/pty.out"), sent)

    shell.start("head -c 50000 <&7 | md5sum")
    typed = checksum(board, "head -c 50000 /tmp/hvc.log | tee /tmp/typed")
    equal("typed", shell.finish(120).split()[0], typed)

    board.read("kill -KILL $(pidof pty_end)")
    shell.run("cat /data >&7", 120)  # nobody has it, and nobody waits

    shell.type("poweroff -f")
    equal("exit status", shell.wait(), 0)
    board.read("exec 7>&-; umount /dev/pts")
    pty, log = statistics(board)["virtio"]
    equal("names", [pty["name"], log["name"]], ["hvc0", "hvc1"])
    equal("bytes typed", pty["bytes_read"], 50000)
    equal("bytes to the terminal", pty["bytes_written"], 2 * SIZE)
    equal("bytes to the file", log["bytes_written"], int(board.read("stat -c %s /tmp/hvc.log")))
    equal("failures", (pty["failures"], log["failures"]), (0, 0))
