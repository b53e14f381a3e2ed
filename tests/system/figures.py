# SPDX-License-Identifier: Apache-2.0
"""The figures the project promises, measured on the deterministic board: one instruction is one tick."""

import json
import pathlib
import re
import statistics

from board import TOP, BoardKind
from host import PASSED, Finished, Machine, bound, configuration, resident_beside
from suite import Failed, at_most, equal, test, true

BOARD = BoardKind("virt", ("--icount", "--tree", str(TOP / "tests/system/trees/eight_devices.dts")))
DEVICES = [f"c00{number}000.quiet" for number in range(8)]
# name: (limit, unit)
LIMITS = {
    "raise_to_handler p50": (3700, "ticks"),
    "raise_to_handler p99_9": (4000, "ticks"),
    "raise_to_eoi_to_loop p50": (6400, "ticks"),
    "trapped_read p50": (5800, "ticks"),
    "linux_start_to_power_off": (235_000_000, "ticks"),
    "resident_beside_guest": (2048, "KiB"),
    "executable": (5 << 19, "bytes"),
    "start_up_of_8_devices_over_1": (1.5, "times"),
    "inspect_largest_tree": (50_000_000, "ticks"),
}
# How far two measurements may be apart, where it is more than 1 % of the value.
TOLERANCE = {"raise_to_handler p99_9": 200,  # the worst three of 2,000, which the host's timer may be among
             "linux_start_to_power_off": 30_000_000,  # three periods of the host's timer
             "resident_beside_guest": 64,
             "inspect_largest_tree": 1_000_000}  # ticks of the timer's in between
OTHERS = ("raise_to_handler max", "raise_to_eoi_to_loop p99_9", "gic_read p50", "hypercall p50",
          "device_read p50")
# What the README's table calls them.
ROWS = {
    "device raises its line → guest's handler, p50 / p99.9": ("raise_to_handler p50",
                                                             "raise_to_handler p99_9"),
    "raise → handler → EOI → back in the guest, p50": ("raise_to_eoi_to_loop p50",),
    "trapped read answered by the VMM, p50": ("trapped_read p50",),
    "register of the passed-through device, read": ("device_read p50",),
    "vGIC register, read": ("gic_read p50",),
    "hypercall (PSCI_VERSION)": ("hypercall p50",),
    "Linux guest of 128 MiB, VMM start → power-off": ("linux_start_to_power_off",),
    "resident memory beside the guest's, 128 MiB, 1 vCPU, 1 device": ("resident_beside_guest",),
    "executable, static-pie without symbols": ("executable",),
    "CPU time of a start with eight devices, of one with one, 128 MiB": ("start_up_of_8_devices_over_1",),
    "`device inspect --tree` of a node of the largest tree of Debian's kernel": ("inspect_largest_tree",),
}
UNITS = {"": 1, " million": 1_000_000, " MiB": 1 << 20}
measured = {}
repeated = {}


def latency(board):
    """{"NAME pXX": ticks} of one run of the guest."""
    with bound(board):
        run = Finished(board, configuration("mode=latency count=2000"), 300)
    equal("exit status", run.status, 0)
    figures = {}
    for line in run.lines("latency name="):
        equal("samples", int(line["samples"]), 2000)
        equal("unit", line["unit"], "ticks")
        for key in ("p50", "p99_9", "max"):
            figures[f"{line['name']} {key}"] = int(line[key])
    equal("userspace_irqs", run.statistics["devices"][0]["userspace_irqs"], 0)
    return figures


def linux(cmdline, platform):
    return configuration(f"console=ttyAMA0 quiet {cmdline}", memory="128M", kernel="/t/Image",
                         initrd="/t/power-off.initrd" if "test" not in cmdline else "/t/initrd",
                         platform=platform)


def linux_ticks(board):
    """From before the fork of microvm until the guest has powered off and microvm has ended."""
    board.write("/tmp/vm.toml", linux("", ()))
    output = board.read("/t/ticks microvm --config /tmp/vm.toml </dev/null 2>&1", 120)
    true("the guest powers itself off", "guest: powering off" in output, output)
    return int(re.search(r"ticks=(\d+)", output)[1])


def resident(board):
    """KiB of microvm that are not the guest's memory, while Linux runs in it."""
    with bound(board):
        machine = Machine(board, linux("test=wait", PASSED))
        machine.wait_for("ready", 60)
        pid = machine.pid()
        smaps = board.read(f"cat /proc/{pid}/smaps")
        status = board.read(f"cat /proc/{pid}/status")
        machine.signal("TERM")
        equal("exit status", machine.wait(), 0)
    return resident_beside(smaps, status, 128 * 1024)


def start_up(board, devices):
    """ns of CPU time up to the first KVM_RUN. Of the time itself the most may be waiting for the host's timer: its
    grace periods end there."""
    run = Finished(board, configuration("mode=off", memory="128M",
                                        platform=[(device, "iommu") for device in devices]))
    equal("exit status", run.status, 0)
    return run.statistics["startup"]["first_run_cpu_ns"]


def inspect_ticks(board, node):
    output = board.read(f"/t/ticks microvm device inspect --tree /t/largest.dtb {node}")
    true(f"a verdict on {node}", "verdict" in output, output)
    return int(re.search(r"ticks=(\d+)", output)[1])


def check_repeated(names):
    for name in names:
        at_most(f"{name}: {measured[name]} and {repeated[name]}, difference",
                abs(measured[name] - repeated[name]), TOLERANCE.get(name, measured[name] / 100))


@test("figures", BOARD)
def repeat(board):
    """Two measurements give the same figures."""
    board.read("sleep 2")
    for figures in (measured, repeated):
        figures.update(latency(board))
        figures["linux_start_to_power_off"] = statistics.median(
            linux_ticks(board) for _ in range(3))
        figures["resident_beside_guest"] = resident(board)
        figures["executable"] = (TOP / "build/arm64/microvm").stat().st_size
    check_repeated(name for name in LIMITS if name in measured)


@test("figures", BOARD)
def large_hosts(board):
    """Starts with eight devices and inspections of a large tree take the same time twice."""
    rows = board.read("microvm device list --tree /t/largest.dtb").splitlines()
    node = rows[len(rows) // 2].split()[0]
    with bound(board, *DEVICES):
        start_up(board, DEVICES)  # the first reads everything into the host's caches
        for figures in (measured, repeated):
            figures["start_up_of_8_devices_over_1"] = round(
                start_up(board, DEVICES) / start_up(board, DEVICES[:1]), 3)
            figures["inspect_largest_tree"] = inspect_ticks(board, node)
    check_repeated(("start_up_of_8_devices_over_1", "inspect_largest_tree"))


def register(name, limit, unit):
    def figure():
        if name not in measured:
            raise Failed("it was not measured")
        at_most(f"{name} ({unit})", max(measured[name], repeated[name]), limit)
    figure.__doc__ = f"{name} is at most {limit:,} {unit}"
    test("figures", None)(figure)


for name_, (limit_, unit_) in LIMITS.items():
    register(name_, limit_, unit_)


@test("figures", None)
def table():
    """All figures are in build/figures.json."""
    print(f"    {'figure':<28} {'value':>12} {'again':>12} {'limit':>12}")
    rows = [(name, *LIMITS[name]) for name in LIMITS] + [(name, None, "ticks") for name in OTHERS]
    report = []
    for name, limit, unit in rows:
        print(f"    {name:<28} {measured[name]:>12,} {repeated[name]:>12,} "
              f"{format(limit, ',') if limit else '':>12} {unit}")
        report.append({"name": name, "value": measured[name], "again": repeated[name],
                       "limit": limit, "unit": unit})
    pathlib.Path(TOP / "build/figures.json").write_text(json.dumps(report, indent=1) + "\n")


def changes(figures, baseline):
    """What is more than 1 % from the baseline (TOLERANCE), one line each: better is a change, too."""
    return [f"{name}: {figures[name]:,}, in the baseline {value:,} "
            f"({100 * (figures[name] - value) / value:+.1f} %)"
            for name, value in baseline.items()
            if abs(figures[name] - value) > max(value / 100, TOLERANCE.get(name, 0))]


@test("figures", None)
def baseline():
    """Ticks are those of bench/baseline.json, within 1 %."""
    figures = json.loads((TOP / "bench/baseline.json").read_text(encoding="utf-8"))
    found = changes(measured, figures)
    true("bench/baseline.json is what was measured; a change that makes a figure better, or has a "
         "reason to make it worse, changes the file in the same commit", not found,
         "\n".join(found))


def in_readme(text):
    """The number that a cell of the table stands for, and how much its last digit is."""
    number, fraction, unit = re.fullmatch(r"([\d,]+)(?:\.(\d+))?( \w+)?", text).groups(default="")
    digit = UNITS[unit] / 10 ** len(fraction)
    return int(number.replace(",", "") + fraction) * digit, digit


@test("figures", None)
def readme():
    """The README's table has these figures."""
    section = (TOP / "README.md").read_text(encoding="utf-8").split("## Figures")[1]
    section = section.split("\n## ")[0]
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d][^|]*?) \|", section, re.MULTILINE))
    equal("rows", sorted(rows), sorted(ROWS))
    for row, names in ROWS.items():
        for name, text in zip(names, rows[row].split(" / "), strict=True):
            kib = name == "resident_beside_guest"
            value = measured[name] * (1024 if kib else 1)
            tolerance = TOLERANCE.get(name, 0) * (1024 if kib else 1)
            told, digit = in_readme(text)
            at_most(f"{row}: {text} and {value:,}, difference", abs(told - value),
                    max(tolerance, value / 100, digit / 2))
