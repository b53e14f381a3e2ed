# SPDX-License-Identifier: Apache-2.0
"""The measurements themselves: on the bare board, and of the contenders on one emulated host."""

import re
import subprocess

import readings
from board import TOP, die_with_parent
from contenders import BARE, MICROVM, Job
from host import bind, unbind

STORMING = "9030000.pl061"
# What runs on the host's only CPU beside the guest.
LOADS = {
    "idle": None,
    "cpu": "/t/load cpu",
    "memory": "/t/load memory",
    "interrupts": f"/t/load interrupts {STORMING}",
    "disk": "microvm --config /tmp/load.toml",
}
MAKE_DISK = "[ -e {0} ] || head -c 67108864 /dev/zero >{0}"
TIMEOUT = 300


class NotMeasured(Exception):
    """Why there is no figure, in one line."""


def one_line(text):
    lines = [line.strip() for line in text.replace("\r", "").splitlines() if line.strip()]
    return " / ".join(lines[:3])[:300] or "nothing was said"


def modes(samples, loaded):
    """(guest's command line, CPUs) of each run that one contender makes under one load."""
    words = f"count={samples} histogram=1 period_us=50 timeout_ms=20000" + (
        " interrupts_only=1" if loaded else "")
    return ((f"mode=latency,wakeup {words}", 1), (f"mode=pair {words}", 2))


def bare_board(image, samples):
    """The guest as the board's own operating system: the limit that the hardware sets."""
    figures = {}
    for cmdline, cpus in modes(samples, False):
        # With two CPUs instructions are counted, too; one sleeps while the other runs.
        deterministic = (["--icount"] if cpus == 1 else ["--smp", str(cpus)], [] if cpus == 1 else
                         ["--", "-icount", "shift=0,sleep=off,align=off", "-rtc", "clock=vm"])
        command = [TOP / "image/board", "virt", *deterministic[0], "--kernel", image["guest"],
                   "--initrd", image["busybox"], "--append", cmdline, *deterministic[1]]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=TIMEOUT, check=False, preexec_fn=die_with_parent)
            figures.update(readings.parse(done.stdout))
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"the guest did not end within {TIMEOUT} s") from None
        except readings.GuestFailed as error:
            raise NotMeasured(f"{error}: {one_line(done.stderr)}") from None
    return {"contender": BARE, "load": "idle", "figures": figures}


class Load:
    """with Load(board, name): it runs on the host; that it did something is checked at the end."""

    def __init__(self, board, name):
        self.board, self.name = board, name

    def __enter__(self):
        if not LOADS[self.name]:
            return
        if self.name == "interrupts":
            bind(self.board, STORMING)
        if self.name == "disk":
            self._write_machine()
        self.board.read(f": >/tmp/load.out; {LOADS[self.name]} </dev/null >>/tmp/load.out 2>&1 & load=$!;"
                        " sleep 0.01; kill -0 $load || cat /tmp/load.out")
        if self.name == "disk":
            # What it reads from now on counts.
            self.board.read("n=0; until grep -q reads= /tmp/load.out || [ $n -ge 600 ]; do sleep 0.05;"
                            " n=$((n + 1)); done; : >/tmp/load.out", 120)

    def _write_machine(self):
        """A Linux guest that does nothing but read its disk, 32 at a time, past its page cache."""
        self.board.read(MAKE_DISK.format("/tmp/load.raw"), 120)
        MICROVM.command(self.board, Job("console=ttyAMA0 quiet test=endless", memory="64M",
                                        kernel="/t/Image", initrd="/t/virtio.initrd", device=False,
                                        disk="/tmp/load.raw"), "/tmp/load.toml")

    def __exit__(self, kind, *_):
        # After anything else the board is gone, or nobody wants it any more.
        if not LOADS[self.name] or (kind and not issubclass(kind, NotMeasured)):
            return
        said = self.board.run("kill -TERM $load; wait $load; tail -n 3 /tmp/load.out").output
        if self.name == "interrupts":
            unbind(self.board, STORMING)
        if kind is None and not re.search(r"=[1-9]", said):
            raise NotMeasured(f"the load did nothing: {one_line(said)}")


def run_guest(board, contender, job):
    command = contender.command(board, job)
    done = board.run(f"{command} </dev/null >/tmp/out 2>/tmp/err", TIMEOUT)
    output = board.read("cat /tmp/out")
    try:
        if done.status != 0:
            raise readings.GuestFailed(f"exit status {done.status}")
        return readings.parse(output)
    except readings.GuestFailed as error:
        said = one_line(board.read("cat /tmp/err"))
        raise NotMeasured(f"{error}: {said}") from None


def latencies(board, contender, load, samples):
    """All figures of one contender under one load; those it could measure, if one run fails."""
    figures, errors = {}, []
    for cmdline, cpus in modes(samples, load != "idle"):
        try:
            with Load(board, load):
                figures.update(run_guest(board, contender, Job(cmdline, cpus)))
        except NotMeasured as error:
            errors.append(str(error))
    result = {"contender": contender.name, "load": load, "figures": figures}
    if errors:
        result["error"] = "; ".join(errors)
    return result


def host_settings(board):
    """What of the host decides about latency, as far as it says."""
    files = {"kernel": "/proc/sys/kernel/osrelease", "command_line": "/proc/cmdline",
             "halt_poll_ns": "/sys/module/kvm/parameters/halt_poll_ns"}
    found = {name: board.run(f"cat {path} 2>/dev/null").output.strip() or None
             for name, path in files.items()}
    found["build"] = board.run("uname -v").output.strip()
    return found

