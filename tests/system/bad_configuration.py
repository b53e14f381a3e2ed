# SPDX-License-Identifier: Apache-2.0
"""Wrong configurations: exit status 2, and each problem with its place in the file."""

from board import BoardKind
from host import PL031, configuration
from refusal import WRONG, refused, refusals, run
from suite import equal, test

VIRT = BoardKind("virt")
FILE = "/tmp/bad\\.toml"
GOOD = configuration("mode=off")


def with_(old, new):
    if old not in GOOD:
        raise ValueError(old)
    return GOOD.replace(old, new)


def line_of(config, text):
    return next(number for number, line in enumerate(config.splitlines(), 1) if text in line)


def at(config, text, column=None):
    return f"{FILE}:{line_of(config, text)}:{column or '[0-9]+'}: "


CASES = {}


def case(name, config, text, *patterns):
    CASES[name] = (config, at(config, text), *patterns)


case("a TOML syntax error", with_("count = 1", "count = = 1"), "= =")
case("an unknown key", with_("count = 1", "count = 1\ncuont = 2"), "cuont", "cpu.cuont", "did you mean .count.")
case("an unknown table", GOOD + "[cup]\ncount = 1\n", "[cup]", "cup")
case("text for a number", with_("count = 1", 'count = "two"'), "two", "cpu.count.*integer")
case("no vCPU", with_("count = 1", "count = 0"), "count = 0", "cpu.count.*from 1 to")
case("more vCPUs than a GICv3 serves", with_("count = 1", "count = 513"), "count = 513",
     "cpu.count.*to 512")
case("negative vCPUs", with_("count = 1", "count = -1"), "count = -1", "cpu.count.*from 1 to")
case("a number beyond 64 bits", with_("count = 1", "count = 99999999999999999999"), "9999")
case("an unknown feature", with_("count = 1", 'count = 1\nfeatures = ["mmu"]'), "features",
     'cpu.features.*"mmu".*pauth')
case("affinity for other than the vCPUs", with_("count = 1", "count = 1\naffinity = [0, 1]"),
     "affinity", "cpu.affinity.*one host CPU for each")
case("a policy without priority", with_("count = 1", 'count = 1\npolicy = "fifo"'), "policy",
     "cpu.policy.*priority.*1 to 99")
case("a priority without policy", with_("count = 1", "count = 1\npriority = 5"), "priority",
     "cpu.priority.*fifo")
case("a priority out of range", with_("count = 1", 'count = 1\npolicy = "rr"\npriority = 100'),
     "priority", "cpu.priority.*1 to 99")
case("an unknown policy", with_("count = 1", 'count = 1\npolicy = "idle"'), "policy",
     "cpu.policy.*other.*fifo.*rr")
case("a size that is none", with_('"32M"', '"lots"'), "lots", "memory.size.*M")
case("a size with a wrong unit", with_('"32M"', '"32T"'), "32T", "memory.size")
case("a size of zero", with_('"32M"', '"0"'), '"0"', "memory.size")
case("a size that is no multiple of 2 MiB", with_('"32M"', '"33M"'), "33M",
     "memory.size.*multiple of 2M")
case("a size beyond 64 bits", with_('"32M"', '"99999999999G"'), "9999", "memory.size")
case("a negative size", with_('"32M"', '"-32M"'), "-32M", "memory.size")
case("a size as a number", with_('"32M"', "32"), "size = 32", "memory.size")
case("huge pages of no size", with_('"32M"', '"32M"\nhugepages = "3M"'), "hugepages",
     "memory.hugepages.*2M")
case("a size that is no multiple of its huge pages", with_('"32M"', '"32M"\nhugepages = "1G"'),
     "size", "memory.size.*multiple of .*hugepages")
case("text for a truth", with_('"32M"', '"32M"\nlock = "yes"'), "lock", "memory.lock.*true or false")
case("no kernel", with_('kernel = "/t/guest.bin"\n', ""), "[boot]", "boot.kernel.*missing")
case("a kernel that is no text", with_('"/t/guest.bin"', "5"), "kernel = 5", "boot.kernel.*string")
case("a command line that is too long", with_("mode=off", "x" * 2048), "cmdline",
     "boot.cmdline.*2047")
case("a device without its name", with_(f'host = "{PL031}"\n', ""), "[[platform]]",
     "host.*missing")
case("a device name that is a path", with_(PL031, "../../etc"), "host", "host.*sys/bus/platform")
case("an unknown dma", with_('"iommu"', '"magic"'), "magic", "dma.*none.*iommu")
case("the same device twice", GOOD + f'[[platform]]\nhost = "{PL031}"\n',
     "[[platform]]", "twice")
case("a wrong restart policy", 'restart = "maybe"\n' + GOOD, "restart", "restart.*never.*always")
case("a wrong name", with_('name = "vm"', 'name = "a/b"'), "name =", "name.*letters")
# A second device with the same name is reported at the second place.
CASES["the same device twice"] = (CASES["the same device twice"][0], FILE + ":1[0-9]:", "twice")
refusals(VIRT, CASES, WRONG)


@test("system-virt", VIRT)
def all_at_once(board):
    """Refused: several problems, all told at once, each with its place, in the file's order."""
    config = with_("count = 1", "count = 0\ncuont = 2").replace('"32M"', '"33M"').replace(
        "mode=off", "x" * 3000)
    result = run(board, config)
    refused(result, WRONG, *(at(config, text) for text in ("count = 0", "cuont", "33M", "cmdline")))
    places = [int(line.split(":")[1]) for line in result.output.splitlines()
              if line.startswith("/tmp/bad.toml:")]
    equal("places", places, sorted(places))
    equal("problems", len(places), 4)


@test("system-virt", VIRT)
def no_file(board):
    """Refused: a configuration that does not exist, and one that is a folder."""
    refused(board.run("microvm --config /tmp/none.toml </dev/null 2>&1"), WRONG,
            "/tmp/none.toml", "No such file")
    refused(board.run("microvm --config /tmp </dev/null 2>&1"), WRONG, "/tmp", "directory")


@test("system-virt", VIRT)
def no_text(board):
    """Refused: a configuration that is no text."""
    board.read("cp /t/guest.bin /tmp/bad.toml")
    refused(board.run("microvm --config /tmp/bad.toml </dev/null 2>&1"), WRONG, FILE + ":1:")


@test("system-virt", VIRT)
def empty(board):
    """Refused: an empty configuration; it says what is missing."""
    refused(run(board, ""), WRONG, FILE + ":1:1: ", "memory.size: missing", "boot.kernel: missing")
