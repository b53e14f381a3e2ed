# SPDX-License-Identifier: Apache-2.0
"""What every refusal has in common: its exit status, a message of one screen, and nothing left behind."""

import re

from host import Finished, bound, configuration
from suite import at_most, equal, test, true

WRONG = 2  # the command line or the configuration
SET_UP = 1


def refused(result, status, *patterns):
    """The message must show each of the patterns; the last one is the remedy."""
    equal(f"exit status ({result.output})", result.status, status)
    true("it says who speaks", result.output.lstrip().startswith("microvm: "), result)
    at_most("lines", len(result.output.strip().splitlines()), 24)
    for pattern in patterns:
        true(f"the message shows {pattern!r}", re.search(pattern, result.output), result)


def run(board, config, arguments=""):
    """microvm's messages and status; what it writes to standard output must be nothing."""
    board.write("/tmp/bad.toml", config)
    result = board.run(f"timeout 20 microvm --config /tmp/bad.toml {arguments} </dev/null 2>&1 >/tmp/bad.out")
    equal("bytes on standard output", board.read("wc -c </tmp/bad.out").strip(), "0")
    return result


def good_run(board):
    """A machine with the device runs right after; whoever had it before may have left its line asserted."""
    with bound(board):
        finished = Finished(board, configuration("mode=early,interrupts count=5"))
    equal("exit status of a good run right after", finished.status, 0)
    true("the guest is content", "guest: ok" in finished.output, finished)


def refusals(kind, cases, status, suite="system-virt"):
    """Registers a test for each case: name -> (configuration, patterns...) or a function of the board."""
    for name, (config, *patterns) in cases.items():
        def refusal(board, config=config, patterns=patterns):
            refused(run(board, config), status, *patterns)
        refusal.__doc__ = f"Refused: {name}"
        test(suite, kind)(refusal)
