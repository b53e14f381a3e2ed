# SPDX-License-Identifier: Apache-2.0
"""The demonstration as its user runs it: image/run configs/automotive-ecu.toml."""

import os
import pathlib
import re
import subprocess
import tempfile
import time

from board import TOP, BoardError, die_with_parent
from suite import at_least, at_most, equal, test, true

FRAMES = 2000


def demonstration():
    """Exit status, output and seconds of the command that the README gives."""
    begun = time.monotonic()
    run = subprocess.run([TOP / "image/run", "configs/automotive-ecu.toml"], cwd=TOP, check=False,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, timeout=600, preexec_fn=die_with_parent)
    return run, time.monotonic() - begun


def check_report(run):
    equal(f"exit status ({run.stdout[-2000:]}{run.stderr[-2000:]})", run.returncode, 0)
    last = run.stdout.rstrip().splitlines()[-1]
    true("the last line is the report", last.startswith("automotive-ecu: ok "), last)
    words = dict(word.split("=") for word in last.split() if "=" in word)
    for name, value in (("frames", FRAMES), ("lost", 0), ("corrupted", 0), ("userspace_irqs", 0),
                        ("trapped_mmio", 0)):
        equal(name, int(words[name]), value)
    order = re.findall(r"(\w+)=", last)[:6]
    equal("order", order, ["frames", "lost", "corrupted", "interrupts", "userspace_irqs",
                           "trapped_mmio"])
    # Each frame is received by an interrupt and its answer's transmission ends with one.
    at_least("interrupts", int(words["interrupts"]), FRAMES)
    at_most("interrupts", int(words["interrupts"]), 4 * FRAMES)


def has_built(run):
    return "Building" in run.stderr or "Compiling" in run.stderr


@test("system-versal", None)
def exchange():
    """image/run configs/automotive-ecu.toml: 2,000 CAN FD frames, none lost, none in user space; a
    call after another builds nothing and is done within a minute."""
    run, seconds = demonstration()
    check_report(run)
    if has_built(run):
        run, seconds = demonstration()
        check_report(run)
    true("nothing is built", not has_built(run), run.stderr)
    at_most("seconds", seconds, 60)


@test("system-versal", None)
def wrong_use():
    """image/run refuses what it does not know, with exit status 2 and its usage."""
    for arguments in (["--frob"], ["configs/none.toml"], ["--board", "none"], ["--timeout", "x"]):
        run = subprocess.run([TOP / "image/run", *arguments], cwd=TOP, check=False,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=60)
        equal(f"exit status of {arguments}", run.returncode, 2)
        true("usage", "usage: image/run" in run.stderr, run.stderr)


def started(folder):
    """The names of the processes that were started with this TMPDIR."""
    names = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                names.append((process / "comm").read_text().strip())
        except OSError:
            pass  # it has ended, or is another user's
    return names


def kill_when_booting(environment):
    """Starts image/run, and kills it as soon as its emulator runs."""
    run = subprocess.Popen([TOP / "image/run"], cwd=TOP, env=environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not any(name.startswith("qemu") for name in started(environment["TMPDIR"])):
        true("the emulator is started", time.monotonic() < deadline and run.poll() is None)
        time.sleep(0.1)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 10
    while started(environment["TMPDIR"]) and time.monotonic() < deadline:
        time.sleep(0.1)


@test("system-versal", None)
def too_late():
    """image/run leaves nothing behind: killed, its emulator ends with it, and its files go at the next call;
    a board that does not finish in time is ended, and a failure that says so."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder}
        kill_when_booting(environment)
        equal("processes that live on", started(folder), [])
        run = subprocess.run([TOP / "image/run", "--timeout", "1"], cwd=TOP, check=False,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=120, env=environment)
        equal("processes that live on", started(folder), [])
        equal("files that are left", os.listdir(folder), [])
    if run.returncode == 0:
        raise BoardError("one second was enough")
    equal("exit status", run.returncode, 1)
    true("the last line", run.stdout.rstrip().splitlines()[-1].startswith("automotive-ecu: FAILED"),
         run.stdout[-500:])
