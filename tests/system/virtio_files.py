# SPDX-License-Identifier: Apache-2.0
"""A file system of a guest's on its disk: fio with checksums, and a kill in the middle of it."""

import hashlib
import re
import subprocess

from host import Finished, Machine, configuration
from suite import at_least, equal, test, true
from virtio_disk import BOARD, FILES_DISK, files_image

MEGABYTE = 1_000_000
# Of 24 and 20 MiB in a loop, which are read or written, and what was written read again.
LOOPS = 6


def guest(test_name, *lines):
    return configuration(f"console=ttyAMA0 quiet test={test_name} loops={LOOPS}", memory="96M",
                         kernel="/t/Image", initrd="/t/files.initrd", platform=()) + "\n".join(
                             ["[[disk]]", f'path = "{FILES_DISK}"', *lines, ""])


def tool(*words, statuses=(0,)):
    """What a program of e2fsprogs says of the disk, which nobody else has at the moment."""
    result = subprocess.run(["/usr/sbin/" + words[0], *words[1:]], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    true(" ".join(words), result.returncode in statuses, result.stdout.decode(errors="replace"))
    return result.stdout


def file_in_image(name):
    """The checksum of a file on the disk."""
    content = subprocess.run(["/usr/sbin/debugfs", "-R", f"cat /{name}", files_image()], check=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout
    return hashlib.md5(content).hexdigest()


@test("system-virtio", BOARD)
def file_system(board):
    """500 MB of fio's checked reads and writes, direct and buffered, leave a file system that is whole, and its files."""
    run = Finished(board, guest("fio"), 400)
    equal("exit status", run.status, 0)
    equal("fio", re.findall(r"^(direct|buffered)=(\d+)", run.output, re.M), [("direct", "0"), ("buffered", "0")])
    disk = run.statistics["virtio"][0]
    at_least("bytes", disk["bytes_read"] + disk["bytes_written"], 500 * MEGABYTE)
    equal("errors", (disk["errors"], disk["failures"]), (0, 0))
    tool("e2fsck", "-fn", files_image())
    sums = dict(reversed(line.split()) for line in re.findall(r"^\w{32}  \S+$", run.output, re.M))
    equal("files", sums, {name: file_in_image(name) for name in ("direct.0.0", "buffered.0.0")})


@test("system-virtio", BOARD)
def file_system_killed(board):
    """kill -9 in the middle of fio: what a guest was told is on the disk is there, and the next one mounts it."""
    machine = Machine(board, guest("keep"))
    machine.wait_for("kept=12 ", 120)
    machine.signal("KILL")
    machine.wait()
    true("fio was at it", "busy=" not in machine.output(), machine.output())
    kept = dict(re.findall(r"^kept=(\d+) (\w{32})", machine.output(), re.M))
    at_least("blocks", len(kept), 13)
    # No journal: what was under way is for it to put right.
    tool("e2fsck", "-fy", files_image(), statuses=(0, 1))
    run = Finished(board, guest("kept"), 240)
    equal("exit status", run.status, 0)
    found = dict(re.findall(r"^kept=(\d+) (\w{32})", run.output, re.M))
    equal("what was kept", {block: found.get(block) for block in kept}, kept)
    equal("fio, then", re.findall(r"^after=(\d+)", run.output, re.M), ["0"])
    tool("e2fsck", "-fn", files_image())
