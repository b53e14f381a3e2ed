# SPDX-License-Identifier: Apache-2.0
"""An emulated board with a shell on its serial line. What QEMU is, only image/board knows."""

import base64
import ctypes
import os
import pathlib
import pty
import re
import select
import shlex
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

TOP = pathlib.Path(__file__).resolve().parents[2]
LINE = 3000  # characters; a terminal takes 4,095 at once
PATIENCE = 240  # seconds beyond a time-out, for a board that other work keeps from running
AGENT = """#!/bin/sh
# Runs what is typed, line by line, without an echo.
[ "$1" = inner ] || exec setsid cttyhack /t/agent inner
stty -echo
trap : INT
dmesg -n 1
echo @@ready
while IFS= read -r line; do eval "$line"; done
"""


class BoardError(Exception):
    """The board did not do what every test needs it to do."""


@dataclass(frozen=True)
class BoardKind:
    """What a board is started with; tests with the same kind share one."""

    name: str
    options: tuple = ()
    words: tuple = ()
    arguments: object = None  # a function that returns arguments for the emulator


# For exact counts. With a second CPU the host can acknowledge a level once more just before the
# guest, on the other CPU, ends it: vfio-platform's lazy disable_irq leaves that gap of a few
# instructions, which an emulator's thread can lose its processor in.
ONE_CPU = BoardKind("virt", ("--smp", "1"))
WITHOUT_IOMMU = BoardKind("virt", ("--smp", "1", "--virt-iommu", "none"))


@dataclass
class Result:
    """What a command on the board left."""

    command: str
    status: int
    output: str
    seconds: float = field(default=0.0, compare=False)

    def __str__(self):
        return f"$ {self.command}\n{self.output}\n-> exit status {self.status}"


def die_with_parent():
    """In the child: no emulator outlives the tests, however they end."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Board:
    """A running board. `files` is the compressed archive behind the image's own file system."""

    def __init__(self, kind, files, image, log_path):
        self.kind = kind
        self._log = open(log_path, "ab")
        self._received = ""
        self._partial = b""
        self._count = 0
        self._extra = tempfile.NamedTemporaryFile(suffix=".cpio.gz")
        self._extra.write(files)
        self._extra.flush()
        command = [TOP / "image/board", kind.name, *kind.options, "--kernel", image["host_kernel"],
                   "--initrd", image["base"], "--initrd", self._extra.name,
                   "--append", " ".join(("quiet", *kind.words, "microvm.exec=/t/agent"))]
        if kind.arguments:
            command += ["--", *kind.arguments()]
        self._master, line = pty.openpty()
        self.process = subprocess.Popen(command, stdin=line, stdout=line, stderr=line,
                                        preexec_fn=die_with_parent)
        os.close(line)
        self._log.write(f"\n==== {' '.join(map(str, command))}\n".encode())
        self.expect("@@ready", 120)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        self._log.close()
        self._extra.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _receive(self, seconds):
        """Adds what arrives within this time to the text received; false if nothing did."""
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            raise BoardError(f"the board ended; its last words:\n{self._received[-2000:]}")
        self._log.write(data)
        self._log.flush()
        self._received += data.decode("utf-8", "replace").replace("\r", "")
        return True

    def _cpu_seconds(self):
        """What the emulator has used, by proc(5): the 14th and 15th word, the second being any text."""
        words = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def expect(self, pattern, timeout):
        """Waits for a regular expression; returns the match and drops the text up to its end. The
        time-out is in seconds that the board runs; where it waits itself, it has PATIENCE more."""
        begun, used = time.monotonic(), self._cpu_seconds()
        while True:
            match = re.search(pattern, self._received, re.MULTILINE)
            if match:
                self.before = self._received[:match.start()]
                self._received = self._received[match.end():]
                return match
            left = timeout - (time.monotonic() - begun)
            if not self._receive(max(left, 1)) and left <= 0 and (
                    left <= -PATIENCE or self._cpu_seconds() - used >= timeout):
                raise BoardError(f"waited {timeout - left:.0f} s for {pattern!r}; there came:\n"
                                 f"{self._received[-3000:]}")

    def type(self, text):
        """Types on the serial line, as somebody at its other end would."""
        data = text.encode() if isinstance(text, str) else text
        data = data.replace(b"\x01", b"\x01\x01")  # the emulator's own escape
        while data:
            if not select.select([], [self._master], [], 30)[1]:
                raise BoardError("the serial line takes no input for 30 s")
            data = data[os.write(self._master, data[:256]):]
            self._receive(0)

    def start(self, command):
        """Types a command; what it prints is for expect(), its end for finish()."""
        self._count += 1
        word = shlex.quote(command)
        if not (command.isascii() and command.isprintable() and len(word) <= LINE):
            word = self._typed_encoded(command)
        self.type(f'echo "@@begin {self._count}"; eval {word}; at=$?; echo; '
                  f'echo "@@end {self._count} $at"\n')
        self.expect(f"@@begin {self._count}\n", 30)

    def _typed_encoded(self, command):
        """What no line can hold, in a file of the board; a word of the shell that stands for it."""
        encoded = base64.b64encode(command.encode()).decode()
        if len(encoded) <= LINE:
            return f'"$(echo {encoded} | base64 -d)"'
        for at in range(0, len(encoded), LINE):
            chunk = encoded[at:at + LINE]
            self.type(f"printf %s {chunk} >{'>' if at else ''}/tmp/@c; echo @@got {self._count}.{at}\n")
            self.expect(f"@@got {self._count}\\.{at}\n", 30)
        return '"$(base64 -d /tmp/@c)"'

    def finish(self, command, timeout):
        begun = time.monotonic()
        try:
            match = self.expect(f"\n@@end {self._count} (\\d+)\n", timeout)
        except BoardError as error:
            raise BoardError(f"$ {command}\n{error}") from None
        return Result(command, int(match[1]), self.before, time.monotonic() - begun)

    def run(self, command, timeout=60):
        """Runs a command in the board's shell, which is one for all commands: $! and the like stay."""
        self.start(command)
        return self.finish(command, timeout)

    def read(self, command, timeout=60):
        """What a command prints; it must succeed."""
        result = self.run(command, timeout)
        if result.status != 0:
            raise BoardError(str(result))
        return result.output

    def write(self, path, content):
        content = content.encode() if isinstance(content, str) else content
        encoded = base64.b64encode(content).decode()
        self.read(f"printf %s '{encoded}' | base64 -d >{path}")
