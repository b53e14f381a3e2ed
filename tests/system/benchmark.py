# SPDX-License-Identifier: Apache-2.0
"""The benchmark: its program for real hardware, and what it makes of results. What it measures on the
emulated host is for bench/run; the figures suite looks after the ticks."""

import sys

from board import ONE_CPU, TOP
from host import PL031, bound
from suite import at_least, equal, test, true

sys.path.insert(0, str(TOP / "bench"))
import readings  # noqa: E402
import report  # noqa: E402
import table  # noqa: E402

PL061 = "9030000.pl061"
CONSOLE = """latency samples=100 warmup_discarded=64 counter_hz=1000000000 wait=spin
latency name=raise_to_handler p50=3551 p90=3551 p99=3600 p99_9=3723 max=3723 min=3551 samples=100 unit=ticks
histogram name=raise_to_handler 3520:99 3712:1
guest: ok latency
"""


def native(board, arguments):
    """The lines of microvm-bench by name, as dictionaries of their key=value words."""
    result = board.run(f"/t/microvm-bench {arguments} 2>&1", 120)
    equal("exit status", result.status, 0)
    return {line.split()[0]: dict(word.split("=", 1) for word in line.split()[1:])
            for line in result.output.splitlines() if " unit=ns" in line}


@test("system-virt", ONE_CPU)
def loopback(board):
    """microvm-bench measures any device's interrupts, which VFIO's loopback raises."""
    with bound(board, PL061):
        figures = native(board, f"--device {PL061} --samples 100")
    equal("figures", sorted(figures),
          ["handler_to_loop", "raise_to_eoi_to_loop", "raise_to_handler"])
    for figure in figures.values():
        equal("samples", figure["samples"], "100")
        at_least("ns at least", int(figure["min"]), 1)
        at_least("max, and p50", int(figure["max"]), int(figure["p50"]))


@test("system-virt", ONE_CPU)
def raised_by_the_guest(board):
    """microvm-bench has the guest raise the line of a PL031, and measures accesses too."""
    with bound(board):
        figures = native(board, f"--device {PL031} --samples 100")
    true("trapped reads are slower than the device's",
         int(figures["trapped_read"]["p50"]) > int(figures["device_read"]["p50"]), figures)


@test("system-virt", ONE_CPU)
def not_there(board):
    """microvm-bench says what is missing: a device, its binding, an option's value."""
    for arguments, status, words in (
            ("--device nothing", 1, "no device 'nothing' under /sys/bus/platform/devices"),
            (f"--device {PL061}", 1, f"microvm device bind {PL061}"),
            ("", 2, "--device NAME is missing"),
            (f"--device {PL061} --samples 1", 2, "--samples takes a number from 100 to 20000")):
        result = board.run(f"/t/microvm-bench {arguments} 2>&1 >/dev/null")
        equal(f"exit status of {arguments}", result.status, status)
        true(f"{arguments}: it says {words}", words in result.output, result.output)


@test("system-virt", None)
def results():
    """The benchmark's table and report are made of what was measured, and say what was not."""
    figures = readings.parse(CONSOLE)
    equal("histogram", figures["raise_to_handler"]["histogram"], [[3520, 99], [3712, 1]])
    slower = {**figures["raise_to_handler"], "p50": 7102}
    found = {"samples": 100, "not_run": ["there is no contender 'x'"], "programs": [], "latencies": [
        {"contender": "microvm", "load": "idle", "figures": figures},
        {"contender": "qemu", "load": "idle", "figures": {"raise_to_handler": slower}},
        {"contender": "qemu", "load": "cpu", "figures": {}, "error": "it ended"}],
        "virtio": [{"contender": "microvm", "receives": 11289, "resident": 1944},
                   {"contender": "qemu-vhost", "receives": 10990, "errors": {"disk": "no room"}}]}
    text = table.as_text(found)
    for words in ("3,551", "7,102", "2.0 ×", "not measured: there is no contender 'x'",
                  "not measured: qemu, cpu: it ended", "11,289", "10,990 (0.97 ×)", "1,944 KiB",
                  "not measured: qemu-vhost, virtio, disk: no room"):
        true(f"the table has {words}", words in text, text)
    page = report.page(found)
    equal("plots", page.count("<svg"), 2)
    true("the page needs no other file", "src=" not in page and "href=" not in page)
    try:
        readings.parse(CONSOLE.replace("guest: ok latency", "guest: FAILED why"))
        true("a guest that failed is told", False)
    except readings.GuestFailed as error:
        equal("told", str(error), "guest: FAILED why")
