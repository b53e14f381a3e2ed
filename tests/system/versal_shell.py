# SPDX-License-Identifier: Apache-2.0
"""image/run --shell: somebody at a terminal, on the emulated host and in the guest."""

import os
import pty
import subprocess

from board import TOP, Board, die_with_parent
from suite import equal, test, true

CONFIG = "/etc/microvm/automotive-ecu.toml"


class Shell(Board):
    """A terminal with image/run --shell in it."""

    def __init__(self, log_path):
        self._log = open(log_path, "ab")
        self._received = ""
        self._master, line = pty.openpty()
        self.process = subprocess.Popen([TOP / "image/run", "--shell"], stdin=line, stdout=line,
                                        stderr=line, cwd=TOP, preexec_fn=die_with_parent)
        os.close(line)
        self._extra = self._log

    def command(self, text, timeout=30):
        """Types a command at the host's prompt and returns what it printed."""
        self.type(f"{text}; echo \"@@$?\"@@\n")
        self.expect(r"@@(\d+)@@\n", timeout)
        return self.before


@test("system-versal", None)
def interactive():
    """image/run --shell: the guest's console by hand, Ctrl-] q, the terminal as before."""
    with Shell(TOP / "build/test-logs/system-versal-shell.serial.log") as shell:
        shell.expect("To start the machine by hand", 300)
        shell.expect("/root # ", 30)
        shell.command(f"microvm device bind --config {CONFIG}")
        shell.command("stty -a >/tmp/before")
        shell.type(f"microvm --config {CONFIG}\n")
        shell.expect("ecu: ready on can0", 60)
        shell.type("echo in $((40 + 2)); cat /proc/cpuinfo | grep -c ^processor\n")
        shell.expect("^in 42\n1\n", 20)
        shell.type("\x1dq")
        shell.expect("/root # ", 20)
        answer = shell.command("stty -a | cmp - /tmp/before && echo same modes")
        true("the terminal's modes", "same modes\n" in answer, answer)
        shell.type(f"microvm --config {CONFIG}\n")
        shell.expect("ecu: ready on can0", 60)  # the controller was reset after the first guest
        shell.type("\x1dq")
        shell.expect("/root # ", 20)
        answer = shell.command("grep -c vfio /proc/interrupts")
        true("the device is released", "\n0\n" in answer, answer)
        shell.type("poweroff\n")
        equal("exit status of image/run", shell.process.wait(60), 0)
