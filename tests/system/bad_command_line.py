# SPDX-License-Identifier: Apache-2.0
"""Wrong command lines: exit status 2, and the way to help."""

from board import BoardKind
from host import configuration
from refusal import WRONG, refused
from suite import equal, test, true

VIRT = BoardKind("virt")
CASES = {
    "no argument at all": ("", "nothing to do"),
    "an unknown option": ("--config /tmp/ok.toml --frobnicate", "--frobnicate"),
    "no --config": ("--check", "--config"),
    "--config without its file": ("--config", "--config needs a file"),
    "--config twice": ("--config /tmp/ok.toml --config /tmp/ok.toml", "twice"),
    "a file without --config": ("/tmp/ok.toml", "/tmp/ok.toml"),
    "--check with --print-plan": ("--config /tmp/ok.toml --check --print-plan", "exclude"),
    "--stats of no plan": ("--config /tmp/ok.toml --print-restart --stats /tmp/s", "statistics"),
    "device without a verb": ("device", "list, inspect, bind or unbind"),
    "an unknown verb": ("device frob", "frob.*no such command"),
    "device inspect without a name": ("device inspect", "inspect takes one name"),
    "device bind without a name": ("device bind", "bind takes names"),
    "an option that a verb does not know": ("device list --all", "--all"),
}


def register(name, arguments, pattern):
    def wrong(board):
        board.write("/tmp/ok.toml", configuration("mode=off", platform=()))
        refused(board.run(f"microvm {arguments} </dev/null 2>&1"), WRONG, pattern, "--help")
    wrong.__doc__ = f"Wrong command line: {name}"
    test("system-virt", VIRT)(wrong)


for name_, (arguments_, pattern_) in CASES.items():
    register(name_, arguments_, pattern_)


@test("system-virt", VIRT)
def help_and_version(board):
    """--help and --version answer on standard output with exit status 0."""
    text = board.read("microvm --help 2>/tmp/err; cat /tmp/err")
    for word in ("--config", "--check", "--print-plan", "--print-restart", "--dump-dtb", "--stats",
                 "device inspect", "Exit status"):
        true(f"--help tells of {word}", word in text, text)
    version = board.read("microvm --version").strip().split()
    equal("program", version[0], "microvm")
    equal("stderr", board.read("cat /tmp/err"), "")
