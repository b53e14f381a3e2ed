# SPDX-License-Identifier: Apache-2.0
"""What a VMM costs beside latency: its start, its memory, its size, and a Linux guest in it."""

import re
import statistics

from contenders import Job
from host import resident_beside
from measure import NotMeasured, one_line


def linux(cmdline, initrd, **more):
    return Job(f"console=ttyAMA0 quiet {cmdline}", memory="128M", kernel="/t/Image", initrd=initrd,
               **more)


def ticks(board, contender, job, expected, option=""):
    """From before the fork of the VMM until it has ended, or to its first output."""
    command = f"/t/ticks {option} {contender.command(board, job)}"
    done = board.run(f"{command} </dev/null 2>&1", 240)
    found = re.search(r"^ticks=(\d+)", done.output, re.M)
    if done.status != 0 or not found or expected not in done.output:
        raise NotMeasured(f"exit status {done.status}: {one_line(done.output)}")
    return int(found[1])


def first_instruction(board, contender):
    """VMM start to the output of a guest whose first instructions put it out."""
    return ticks(board, contender, Job("", kernel="/t/first.bin", device=False), "",
                 "--first-output")


def start_to_power_off(board, contender):
    job = linux("", "/t/power-off.initrd", device=False)
    return statistics.median(ticks(board, contender, job, "guest: powering off") for _ in range(3))


def resident_beside_guest(board, contender):
    """KiB of the VMM that are not the guest's memory, while Linux runs in it with the device."""
    command = contender.command(board, linux("test=wait", "/t/initrd"))
    board.read(f"{{ {command} </dev/null >/tmp/out 2>/tmp/err & vmm=$!; }}")
    try:
        ready = board.run("n=0; until grep -q ready /tmp/out; do sleep 0.1; n=$((n + 1));"
                          " [ $n -lt 600 ] || break; done; grep -q ready /tmp/out", 200).status == 0
        smaps = board.run("cat /proc/$vmm/smaps").output
        status = board.run("cat /proc/$vmm/status").output
    finally:
        board.run("kill -TERM $vmm; wait $vmm")
    if not ready:
        raise NotMeasured(f"Linux did not come up: {one_line(board.read('cat /tmp/err'))}")
    return resident_beside(smaps, status, 128 * 1024)


def executable_bytes(board, contender):
    return int(board.read(f"stat -c %s {contender.executable}"))


def cyclictest(board, contender):
    """{"min", "avg", "max"} in microseconds of a Linux guest's timer threads."""
    command = contender.command(board, linux("test=cyclictest", "/t/cyclictest.initrd",
                                             device=False))
    done = board.run(f"{command} </dev/null 2>&1", 240)
    found = re.search(r"Min:\s*(\d+) .*Avg:\s*(\d+) Max:\s*(\d+)", done.output)
    if not found:
        raise NotMeasured(f"exit status {done.status}: {one_line(done.output)}")
    return dict(zip(("min", "avg", "max"), map(int, found.groups())))


# name: (what measures it, what it is called, unit)
MEASUREMENTS = {
    "start_to_first_instruction": (first_instruction, "VMM start → guest's first instruction", "ticks"),
    "linux_start_to_power_off": (start_to_power_off, "Linux of 128 MiB, VMM start → power-off", "ticks"),
    "resident_beside_guest": (resident_beside_guest, "resident beside the guest's 128 MiB", "KiB"),
    "executable": (executable_bytes, "executable, without its libraries", "bytes"),
    "cyclictest": (cyclictest, "cyclictest in a Linux guest, average / max", "µs"),
}


def measure(board, contender, wanted):
    """{"contender", name: value…, "errors": {name: why}} of one contender."""
    result = {"contender": contender.name}
    for name in wanted:
        try:
            result[name] = MEASUREMENTS[name][0](board, contender)
        except NotMeasured as error:
            result.setdefault("errors", {})[name] = str(error)
    return result
