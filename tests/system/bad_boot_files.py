# SPDX-License-Identifier: Apache-2.0
"""Boot files that are none, and memory they do not fit in: exit status 1."""

from board import BoardKind
from host import PL031, configuration
from refusal import SET_UP, good_run, refused, run
from suite import test

VIRT = BoardKind("virt")
LINUX = {"kernel": "/tmp/k", "memory": "96M"}
# name: (how the file /tmp/k is made, more of the configuration, patterns)
CASES = {
    "a kernel that is absent": ("rm -rf /tmp/k", {}, "kernel /tmp/k", "No such file"),
    "a kernel that is a folder": ("mkdir /tmp/k", {}, "kernel /tmp/k", "not a regular file"),
    "a kernel that is empty": (": >/tmp/k", {}, "kernel /tmp/k", "expected an arm64 Image"),
    "a kernel that is none": ("cp /bin/busybox /tmp/k", {}, "kernel /tmp/k", "no kernel",
                              "expected an arm64 Image"),
    "a kernel that may not be read, being a device": ("ln -s /dev/zero /tmp/k", {},
                                                      "kernel /tmp/k", "not a regular file"),
    "a kernel that was cut short": ("head -c 3000000 /t/Image >/tmp/k", {}, "kernel /tmp/k",
                                    "cut short", "3000000 bytes"),
    "a kernel of which there is only the start": ("head -c 100 /t/Image >/tmp/k", {},
                                                  "kernel /tmp/k", "cut short|too short"),
    "a compressed kernel that was cut short": ("gzip -1 </t/Image | head -c 2000000 >/tmp/k", {},
                                               "kernel /tmp/k", "cut short"),
    "a compressed kernel that is corrupt": (
        "gzip -1 </t/Image >/tmp/k; dd if=/dev/zero of=/tmp/k bs=1000 seek=1000 count=1 "
        "conv=notrunc 2>/dev/null", {}, "kernel /tmp/k", "corrupt"),
    "compressed text": ("echo no kernel | gzip >/tmp/k", {}, "kernel /tmp/k",
                        "expected an arm64 Image"),
    "a kernel that is too large for memory": ("cp /t/Image /tmp/k", {"memory": "4M"},
                                              "do not fit", "MiB are needed",
                                              "make memory.size larger"),
    "an initrd that is absent": ("cp /t/Image /tmp/k", {"initrd": "/tmp/i"}, "initrd /tmp/i",
                                 "No such file"),
    "an initrd that is empty": ("cp /t/Image /tmp/k; : >/tmp/i", {"initrd": "/tmp/i"},
                                "initrd /tmp/i", "empty"),
    "an initrd that is a folder": ("cp /t/Image /tmp/k; mkdir /tmp/i", {"initrd": "/tmp/i"},
                                   "initrd /tmp/i", "not a regular file"),
    "an initrd that is too large for memory": (
        "cp /t/Image /tmp/k; dd if=/dev/zero of=/tmp/i bs=1 count=1 seek=104857600 2>/dev/null",
        {"initrd": "/tmp/i"}, "do not fit", "initrd 100 MiB", "make memory.size larger"),
}


def register(name, prepare, options, *patterns):
    def wrong(board):
        board.read(f"rm -rf /tmp/k /tmp/i; {prepare}")
        refused(run(board, configuration("", **{"platform": (), **LINUX, **options})),
                SET_UP, *patterns)
        board.read("rm -rf /tmp/k /tmp/i")
    wrong.__doc__ = f"Refused: {name}"
    test("system-virt", VIRT)(wrong)


for name_, (prepare_, options_, *patterns_) in CASES.items():
    register(name_, prepare_, options_, *patterns_)


@test("system-virt", VIRT)
def then_good(board):
    """After refused boot files a machine with a device runs."""
    board.read("microvm device bind " + PL031)
    board.read("echo no kernel >/tmp/k")
    refused(run(board, configuration("", kernel="/tmp/k")), SET_UP, "kernel /tmp/k")
    board.read("microvm device unbind " + PL031)
    good_run(board)
