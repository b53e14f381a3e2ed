# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmark on the emulated board; bench/run calls it."""

import argparse
import functools
import json
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/system"))  # the boards
import measure  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import table  # noqa: E402
import virtio  # noqa: E402
from board import TOP, Board, BoardError, BoardKind  # noqa: E402
from contenders import BARE, ON_HOST, TITLES, VIRTIO  # noqa: E402
from guest_files import host_files  # noqa: E402
from host import bound  # noqa: E402

SCHEMA = 1
BOARD = BoardKind("virt", ("--icount",))


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--contenders", metavar="NAME,...",
                        help=f"default: those that can be had of {','.join(TITLES)}")
    parser.add_argument("--loads", default=",".join(measure.LOADS), metavar="NAME,...",
                        help="default: %(default)s")
    parser.add_argument("--programs", default=",".join(programs.MEASUREMENTS), metavar="NAME,...",
                        help="what is measured of the VMMs themselves; '' for nothing; "
                        "default: %(default)s")
    parser.add_argument("--virtio", default=",".join(virtio.MEASUREMENTS), metavar="NAME,...",
                        help="what is measured of virtio devices; '' for nothing; default: %(default)s")
    parser.add_argument("--kvmtool", type=pathlib.Path, metavar="FILE",
                        help="kvmtool for arm64, linked statically, which Debian does not have")
    parser.add_argument("--samples", type=int, default=1000, metavar="N",
                        help="of each figure, 100 to 20,000; default: %(default)s")
    parser.add_argument("--output", type=pathlib.Path, default=TOP / "build/bench", metavar="FOLDER",
                        help="for results.json and report.html; default: build/bench")
    parsed = parser.parse_args()
    if not 100 <= parsed.samples <= 20_000:
        parser.error("--samples: between 100 and 20,000")
    if parsed.kvmtool and not parsed.kvmtool.is_file():
        parser.error(f"--kvmtool: there is no file {parsed.kvmtool}")
    return parsed


def known(what, asked, names, not_run):
    """Those asked for that there are; the others are noted."""
    chosen = [name for name in asked.split(",") if name]
    for name in chosen:
        if name not in names:
            not_run.append(f"there is no {what} '{name}'; there are: {', '.join(names)}")
    return [name for name in names if name in chosen]


def artifacts():
    lines = subprocess.run([HERE / "artifacts"], check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, text=True).stdout
    return dict(line.split("=", 1) for line in lines.splitlines())


class Host:
    """The emulated host; another is booted only if one was lost."""

    def __init__(self, image, log):
        self._image, self._log = image, log
        self._files = host_files(image)
        self._board = None

    def board(self):
        if not self._board:
            say("booting the emulated host")
            self._board = Board(BOARD, self._files, self._image, self._log)
            self._board.read("sleep 2")  # what its start left to do is done then
        return self._board

    def close(self):
        if self._board:
            self._board.close()
        self._board = None

    def measured(self, what, function, results):
        """[the result of function(board) with the device bound]; [] and a note if the board is lost."""
        begun = time.monotonic()
        result = None
        try:
            with bound(self.board()):
                result = function(self.board())
        except BoardError as error:
            results["not_run"].append(f"{what}: {measure.one_line(str(error))}")
            self.close()
        say(f"{what}: {time.monotonic() - begun:.0f} s")
        return [] if result is None else [result]


def on_host(host, wanted, results):
    """Everything that is measured on the emulated host, contender by contender."""
    for contender in (each for each in ON_HOST if each.name in wanted["contenders"]):
        for load in wanted["loads"]:
            results["latencies"] += host.measured(
                f"{contender.name}, {load}",
                functools.partial(measure.latencies, contender=contender, load=load,
                                  samples=results["samples"]), results)
        if wanted["programs"]:
            results["programs"] += host.measured(
                f"{contender.name}, the program",
                functools.partial(programs.measure, contender=contender,
                                  wanted=wanted["programs"]), results)
    for contender, names in VIRTIO:
        chosen = [name for name in names if name in wanted["virtio"]]
        if contender.name in wanted["contenders"] and chosen:
            results["virtio"] += host.measured(
                f"{contender.name}, virtio",
                functools.partial(virtio.measure, contender=contender, wanted=chosen), results)


def choose(options, image, not_run):
    """What is to be measured: what was asked for, without what there is not and what cannot be had."""
    asked = ",".join(TITLES) if options.contenders is None else options.contenders
    wanted = {"contenders": known("contender", asked, list(TITLES), not_run),
              "loads": known("load", options.loads, list(measure.LOADS), not_run),
              "programs": known("measurement", options.programs, list(programs.MEASUREMENTS), not_run),
              "virtio": known("measurement of virtio devices", options.virtio,
                              list(virtio.MEASUREMENTS), not_run)}
    if "qemu" not in image and any(name.startswith("qemu") for name in wanted["contenders"]):
        wanted["contenders"] = [name for name in wanted["contenders"] if not name.startswith("qemu")]
        not_run.append("qemu: Debian has no QEMU with vfio-platform here (see above)")
    if "kvmtool" not in image and "kvmtool" in wanted["contenders"]:
        wanted["contenders"].remove("kvmtool")
        line = "kvmtool: Debian has no package of it; --kvmtool FILE takes one"
        if options.contenders is None:
            say(f"bench: without {line}")
        else:
            not_run.append(line)
    if "cyclictest" not in image and "cyclictest" in wanted["programs"]:
        wanted["programs"].remove("cyclictest")
        not_run.append("cyclictest: rt-tests could not be had (see above)")
    return wanted


def run(options):
    not_run = []
    image = artifacts()
    if options.kvmtool:
        image["kvmtool"] = options.kvmtool
    wanted = choose(options, image, not_run)
    results = {"schema": SCHEMA, "unit": "ticks", "samples": options.samples, "not_run": not_run,
               "latencies": [], "programs": [], "virtio": []}
    if BARE in wanted["contenders"] and "idle" in wanted["loads"]:
        try:
            results["latencies"].append(measure.bare_board(image, options.samples))
        except measure.NotMeasured as error:
            not_run.append(f"{BARE}: {error}")
    host = Host(image, options.output / "serial.log")
    try:
        if set(wanted["contenders"]) - {BARE}:
            results["host"] = measure.host_settings(host.board())
            on_host(host, wanted, results)
    finally:
        host.close()
    return results


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    results = run(options)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n",
                                                 encoding="utf-8")
    (options.output / "report.html").write_text(report.page(results), encoding="utf-8")
    (options.output / "interrupt-path.svg").write_text(report.interrupt_path(results) + "\n",
                                                       encoding="utf-8")
    print(table.as_text(results))
    print(f"\n{options.output}/results.json\n{options.output}/report.html")
    measured = results["latencies"] + results["programs"] + results["virtio"]
    return 1 if table.errors(results) or not measured else 0


if __name__ == "__main__":
    sys.exit(main())
