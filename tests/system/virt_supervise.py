# SPDX-License-Identifier: Apache-2.0
"""The image's supervisor of a machine: stopped at any moment, and its restarts."""

import re

from board import BoardKind
from host import configuration
from suite import equal, test, true

VIRT = BoardKind("virt")
LOG = "/var/log/microvm/vm.log"
START = f"rm -f /run/microvm/vm.*; : >{LOG}\n/lib/microvm/supervise /tmp/vm.toml & p=$!\n"
# Leaves n, the tenths of a second that the supervisor, which was told to stop, lived on.
STOP = ("kill -TERM $p 2>/dev/null; n=0; while kill -0 $p 2>/dev/null && [ $n -lt 80 ]; do "
        "sleep 0.1; n=$((n + 1)); done\n")
# In a loop: ends it after a supervisor or a machine that lived on.
HUNG = '[ $n -lt 80 ] && [ -z "$(pidof microvm)" ] || { echo "%s: hung"; break; }\n'


@test("system-virt", VIRT)
def stopped_at_any_moment(board):
    """supervise: SIGTERM at 20 moments of its first second ends it and its machine."""
    board.write("/tmp/vm.toml", configuration("mode=traffic every=100"))
    output = board.read(f"for delay in $(seq 0 50000 950000); do\n{START}usleep $delay\n{STOP}"
                        + HUNG % "$delay us" + "done", 400)
    true("nothing lived on", "hung" not in output, output)


@test("system-virt", VIRT)
def stopped_as_microvm_is_forked(board):
    """supervise: SIGTERM just as microvm was forked ends it and its machine, 20 times."""
    board.write("/tmp/vm.toml", configuration("mode=traffic every=100"))
    output = board.read(f"for turn in $(seq 20); do\n{START}"
                        f"until [ -e /run/microvm/vm.pid ]; do :; done\n{STOP}"
                        + HUNG % "turn $turn" + "done; cat /run/microvm/vm.report", 400)
    line = output.splitlines()[-1]
    true("what is said", re.fullmatch(r"vm: ok exit=0 starts=1( guest_start_ms=[1-9]\d*)?", line), line)
    true("nothing lived on", "hung" not in output, output)


@test("system-virt", VIRT)
def stopped_in_a_pause(board):
    """supervise: SIGTERM in the pause before a start ends it, and nothing is started."""
    board.write("/tmp/vm.toml", configuration("mode=off", top='restart = "always"'))
    output = board.read(f"{START}until grep -q 'starting again in 2 s' {LOG}; do sleep 0.1; done\n"
                        f"{STOP}while :; do {HUNG % 'in the pause'}break; done\n"
                        "cat /run/microvm/vm.report", 120)
    line = output.splitlines()[-1]
    true("what is said", re.fullmatch(r"vm: ok exit=0 starts=2 guest_start_ms=[1-9]\d*", line), line)
    true("nothing lived on", "hung" not in output, output)


def report(board, config, starts):
    """The report of a machine that is told to stop after this many starts, or ends before."""
    board.write("/tmp/vm.toml", config)
    output = board.read(
        f"{START}n=0; until [ $(grep -c '^vm: microvm ended' {LOG}) -ge {starts} ] ||"
        " ! kill -0 $p 2>/dev/null || [ $n -ge 200 ]; do sleep 0.1; n=$((n + 1)); done\n"
        f"{STOP}cat /run/microvm/vm.report", 120)
    return output.splitlines()[-1]


@test("system-virt", VIRT)
def set_up_failures(board):
    """supervise: a set-up that fails is tried again as the policy says, and reported."""
    for word, starts in (("'on-failure' # by now", 3), ('"always"', 3), ('"never"', 1)):
        config = configuration("mode=off", kernel="/t/absent", top=f"  restart= {word}")
        line = report(board, config, 3)
        true(f"starts with restart = {word}", line.startswith(
            f"vm: FAILED exit=1 starts={starts}: microvm: "), line)
        true("the absent kernel", "/t/absent" in line, line)


@test("system-virt", VIRT)
def device_that_is_absent(board):
    """supervise: a device that cannot be bound is tried again if the policy says so."""
    config = configuration("mode=off", platform=(("absent", "none"),), top='restart = "on-failure"')
    line = report(board, config, 2)
    true("starts", line.startswith("vm: FAILED exit=1 starts=2: microvm: "), line)
    true("the absent device", "'absent'" in line, line)


@test("system-virt", VIRT)
def configuration_that_is_wrong(board):
    """supervise: a wrong configuration is never tried again; the report has the error."""
    config = configuration("mode=off", cpus=0, top='restart = "always"')
    line = report(board, config, 2)
    true("starts", line.startswith(
        "vm: FAILED exit=2 starts=1: microvm: the configuration is wrong: "), line)
    true("the wrong key", "cpu.count" in line, line)


@test("system-virt", VIRT)
def logs_are_bound(board):
    """bound_logs: a log that grows without end is cut, what is written later is in it."""
    folder = "/var/log/microvm"
    output = board.read(
        "/lib/microvm/bound_logs 1 & p=$!\n"
        "( for turn in $(seq 40); do head -c 131072 /t/Image; sleep 0.1; done\n"
        f"sleep 2; echo; echo last ) >>{folder}/flood.log\n"
        f"kill $p; wc -c <{folder}/flood.log; wc -c <{folder}/flood.log.old; tail -n 1 {folder}/flood.log\n"
        f"rm {folder}/flood.log*", 120).split()
    # A log of 1 MiB is not cut yet, and has two lines more.
    true("the log is short", int(output[0]) <= (1 << 20) + len("\nlast\n"), output)
    equal("what is kept of before", output[1], str(1 << 20))
    equal("its last line", output[2], "last")
