# SPDX-License-Identifier: Apache-2.0
"""What the tests ask of the emulated host: machines, their statistics, and what they leave behind."""

import json
import re

from board import BoardError

PL031 = "9010000.pl031"
# Their numbers at the boards' interrupt controllers.
INTERRUPT = {PL031: 34, "ff060000.canfd": 52, "ff070000.canfd": 53}
PASSED = ((PL031, "iommu"),)


def configuration(cmdline="", *, cpus=1, memory="32M", kernel="/t/guest.bin", initrd=None,
                  platform=PASSED, cpu="", extra_memory="", top=""):
    """The text of a machine's configuration."""
    if cmdline.startswith("mode="):
        # A busy machine is slow, not wrong. Stale interrupts are what board.ONE_CPU speaks of; where
        # counts are exact, the tests look at them.
        cmdline += " timeout_ms=20000 stale=3"
    lines = ['name = "vm"', top, "[cpu]", f"count = {cpus}", cpu, "[memory]",
             f'size = "{memory}"', extra_memory, "[boot]", f'kernel = "{kernel}"',
             f'cmdline = "{cmdline}"']
    if initrd:
        lines.append(f'initrd = "{initrd}"')
    for name, dma, *more in platform:
        lines += ["[[platform]]", f'host = "{name}"', f'dma = "{dma}"', *more]
    return "\n".join(line for line in lines if line) + "\n"


HOST_STATE = """# What must be the same before and after a test: nothing left running, bound or taken. It runs often, and
# starting a program is what costs the board most: few of them.
(
  for path in /sys/bus/platform/devices/*.pl0?1 /sys/bus/amba/devices/*.pl0?1 /sys/bus/platform/devices/*.canfd; do
    [ -e $path ] || continue
    driver=none override=
    read -r override <$path/driver_override
    ! cd -P $path/driver 2>/dev/null || driver=${PWD##*/}
    echo "${path##*/}: $driver $override"
  done
  cd /sys/class/net
  echo interfaces: *
  running=0
  for process in /proc/[0-9]*; do
    ! read -r name <$process/comm || [ "$name" != microvm ] || running=$((running + 1))
  done 2>/dev/null
  echo "processes: $running"
  stty -a 2>/dev/null
  dmesg | awk '
    FILENAME == "-" { faults += /BUG|WARNING|Oops|Call trace|Unhandled/ }
    FILENAME == "/proc/interrupts" { vfio += /vfio/ }
    /^HugePages_(Total|Free)/
    END { print "faults: " faults ", interrupts of vfio: " vfio }
  ' /proc/interrupts /proc/meminfo -
)
"""


def host_state(board):
    """What HOST_STATE prints, which is a file on the board."""
    return re.sub("^speed.*line", "line", board.read(". /t/host_state"), flags=re.MULTILINE)


def bind(board, *names):
    board.read("microvm device bind " + " ".join(names or (PL031,)))


def unbind(board, *names):
    board.read("microvm device unbind " + " ".join(names or (PL031,)))


class bound:
    """with bound(board): the device belongs to VFIO."""

    def __init__(self, board, *names):
        self.board, self.names = board, names

    def __enter__(self):
        bind(self.board, *self.names)

    def __exit__(self, kind, *_):
        # After a failure the board is not used again, and may not answer.
        if kind is None:
            unbind(self.board, *self.names)


def statistics(board, path="/tmp/stats.json"):
    return json.loads(board.read(f"cat {path}"))


def host_interrupts(board, device=PL031):
    """The host's own count for the device's line, since it booted; it outlives the machines."""
    return line_interrupts(board, INTERRUPT[device])


def line_interrupts(board, intid):
    counts = board.read(
        f"for file in $(grep -lx {intid} /sys/kernel/irq/*/hwirq); do\n"
        "  grep -qE '^GIC' ${file%/*}/chip_name && cat ${file%/*}/per_cpu_count\ndone; true")
    return sum(int(word) for word in re.findall(r"\d+", counts))


def resident_beside(smaps, status, memory_kib):
    """KiB of a VMM that are not its guest's memory, by /proc/PID/smaps and status: what is resident
    less the largest mapping, which must be able to hold that memory."""
    mappings = re.findall(r"^Size: +(\d+) kB.*?^Rss: +(\d+) kB", smaps, re.M | re.S)
    size, guest = max((int(size), int(rss)) for size, rss in mappings)
    if size < memory_kib:
        raise BoardError(f"no mapping holds the guest's memory; the largest has {size} KiB")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) - guest


class Machine:
    """A machine that runs in the background of the board."""

    def __init__(self, board, config, arguments="--stats /tmp/stats.json", before="",
                 stdin="/dev/null"):
        self.board = board
        board.write("/tmp/vm.toml", config)
        # Emptied here: who waits for a word in them must not find that of the machine before.
        board.read(f"rm -f /tmp/stats.json /tmp/status; : >/tmp/out; : >/tmp/err; {before}\n"
                   f"{{ microvm --config /tmp/vm.toml {arguments} <{stdin} >/tmp/out 2>/tmp/err;"
                   " echo $? >/tmp/status; } &")

    def pid(self, timeout=20):
        return int(self.board.read(
            f"n=0; while ! pidof microvm && [ $n -lt {timeout * 10} ]; do sleep 0.1; "
            "n=$((n + 1)); done", timeout + 30).split()[0])

    def output(self):
        return self.board.read("cat /tmp/out").replace("\r", "")

    def errors(self):
        return self.board.read("cat /tmp/err").replace("\r", "")

    def wait_for(self, pattern, timeout=30):
        """Until the guest's console shows this."""
        result = self.board.run(
            f"n=0; until grep -qE '{pattern}' /tmp/out; do sleep 0.05; n=$((n + 1)); "
            f"[ $n -lt {timeout * 20} ] && [ ! -s /tmp/status ] || grep -qE '{pattern}' /tmp/out ||"
            " { cat /tmp/out /tmp/err; false; break; }; done", timeout * 3 + 30)
        if "guest: FAILED" in result.output or not self.board.run(
                f"grep -qE '{pattern}' /tmp/out").status == 0:
            raise BoardError(f"the guest did not print {pattern!r}:\n{result.output}")

    def wait_for_times(self, word, times, timeout=60):
        """Until the guest's console shows this word so often, one to a line."""
        result = self.board.run(
            f"n=0; until [ $(grep -c {word} /tmp/out) -ge {times} ] || [ $n -ge {timeout * 20} ] ||"
            f" [ -s /tmp/status ]; do sleep 0.05; n=$((n + 1)); done; [ $(grep -c {word} /tmp/out) -ge {times} ]",
            timeout * 3 + 30)
        if result.status != 0:
            raise BoardError(f"the guest did not print {word!r} {times} times:\n{self.output()}")

    def signal(self, name):
        self.board.read(f"kill -{name} $(pidof microvm)")

    def wait(self, timeout=60):
        """Its exit status."""
        return int(self.board.read(
            f"n=0; while [ ! -s /tmp/status ] && [ $n -lt {timeout * 20} ]; do sleep 0.05; "
            "n=$((n + 1)); done; cat /tmp/status", timeout * 3 + 30))


class Finished:
    """A machine that has run to its end: console, errors, statistics, exit status."""

    def __init__(self, board, config, timeout=120, before="", stdin="/dev/null"):
        board.write("/tmp/vm.toml", config)
        result = board.run(
            f"rm -f /tmp/stats.json; {before}\n"
            f"microvm --config /tmp/vm.toml --stats /tmp/stats.json <{stdin} >/tmp/out 2>/tmp/err",
            timeout)
        self.status = result.status
        said = board.read("cat /tmp/out; echo '@@err'; cat /tmp/err; echo '@@stats';"
                          " [ ! -e /tmp/stats.json ] || cat /tmp/stats.json").replace("\r", "")
        self.output, said = said.split("@@err\n")
        self.errors, figures = said.split("@@stats\n")
        self.statistics = json.loads(figures) if self.status == 0 else None

    def lines(self, prefix):
        """The guest's lines that start so, as dictionaries of their key=value words."""
        return [dict(word.split("=", 1) for word in line.split() if "=" in word)
                for line in self.output.splitlines() if line.startswith(prefix)]

    def __str__(self):
        return (f"exit status {self.status}\nconsole:\n{self.output[-1500:]}\n"
                f"errors:\n{self.errors[-1500:]}")
