# SPDX-License-Identifier: Apache-2.0
"""Disks and entropy of Linux guests, by its own virtio drivers: what both ends see of them."""

import re
import subprocess
import tempfile

from board import BoardKind
from host import Finished, Machine, configuration, statistics
from suite import at_least, at_most, equal, test, true

MIB = 1 << 20
_host_disk = tempfile.NamedTemporaryFile(prefix="microvm-disk-")  # gone with the tests
_folder = tempfile.TemporaryDirectory(prefix="microvm-monitor-")
MONITOR = f"{_folder.name}/socket"
_files_disk = tempfile.NamedTemporaryFile(prefix="microvm-files-")


def files_image():
    """The file that is the disk FILES_DISK of the host."""
    return _files_disk.name


def host_parts():
    """Disks of the host's own, which are on no file system in memory: an empty one, one with a file system; and the
    emulator's monitor."""
    _host_disk.truncate(2 * MIB)
    _files_disk.truncate(0)
    _files_disk.truncate(64 * MIB)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext2", _files_disk.name], check=True,
                   stdin=subprocess.DEVNULL)
    # Without the second, a monitor elsewhere would leave the emulator's own signals on what is typed: Ctrl-C.
    arguments = ["-monitor", f"unix:{MONITOR},server=on,wait=off", "-serial", "mon:stdio"]
    for name, file in (("files", _files_disk), ("disk", _host_disk)):  # the last is /dev/vda
        arguments += ["-drive", f"file={file.name},if=none,id={name},format=raw",
                      "-device", f"virtio-blk-device,drive={name}"]
    return arguments


# The PL061 is the host's.
BOARD = BoardKind("virt", ("--smp", "1", "--amba"), arguments=host_parts)
HOST_DISK, FILES_DISK = "/dev/vda", "/dev/vdb"
DISK = "/tmp/disk.raw"


def linux(script, disks, extra="", cpus=1, lock=False):
    tables = "".join(f'[[disk]]\npath = "{path}"\n' + "".join(f"{line}\n" for line in lines)
                     for path, *lines in disks)
    return configuration(f"console=ttyAMA0 quiet test={script}", memory="64M", kernel="/t/Image",
                         initrd="/t/virtio.initrd", platform=(), cpus=cpus, extra_memory="lock = true" if lock else "") + tables + extra


def make_disk(board, path=DISK, mib=2):
    """A file of bytes that are nowhere the same; its checksum."""
    return board.read(f"head -c {mib * MIB} /dev/urandom >{path}; md5sum <{path}").split()[0]


def told(text, name):
    """What the guest said of this, once."""
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    equal(f"times the guest says {name}", len(found), 1)
    return found[0].strip()


def io(board, disk, *lines):
    """The guest reads all of a disk, writes half a MiB of it in pieces of 4 KiB and 128 KiB, and reads them again."""
    before = board.read(f"head -c {2 * MIB} {disk} | md5sum").split()[0]
    other = make_disk(board, "/tmp/other.raw", 1)
    run = Finished(board, linux("io", [(disk, 'serial = "ECU-0001"', "queues = 2", *lines),
                                       ("/tmp/other.raw", "readonly = true")], "[rng]\n", 2), 240)
    equal("exit status", run.status, 0)
    equal("serial", told(run.output, "serial"), "ECU-0001")
    equal("readonly", told(run.output, "readonly"), "0 1")
    equal("queues", told(run.output, "queues"), "2")
    equal("read", told(run.output, "read"), f"{before} -".replace(" ", "  "))
    equal("written, in the guest", told(run.output, "again"), told(run.output, "wrote"))
    equal("written, on the host", board.read(f"dd if={disk} bs=64k skip=16 count=8 2>/dev/null | md5sum"),
          told(run.output, "wrote") + "\n")
    equal("a read-only disk", told(run.output, "write_to_readonly"), "refused")
    equal("its content", board.read("md5sum </tmp/other.raw").split()[0], other)
    true("entropy differs", told(run.output, "random1") != told(run.output, "random2"), run)
    equal("source", told(run.output, "source"), "virtio_rng.0")
    return run


@test("system-virtio", BOARD)
def both_ends(board):
    """What a guest reads and writes of a file is what the host has, by checksums at both ends."""
    make_disk(board)
    run = io(board, DISK)
    disk, other, rng = run.statistics["virtio"]
    equal("names", [disk["name"], other["name"], rng["name"]], ["disk0", "disk1", "rng"])
    at_least("bytes read", disk["bytes_read"], 2 * MIB)
    equal("bytes written", disk["bytes_written"], MIB // 2)
    equal("bytes written to the other", other["bytes_written"], 0)
    at_least("random bytes", rng["bytes_read"], 1024)
    for device in (disk, other, rng):
        equal(f"errors of {device['name']}", (device["errors"], device["failures"]), (0, 0))
        at_most(f"interrupts of {device['name']}", device["interrupts"], device["requests"])
    # Edges that meet are one: the guest takes no more than there were.
    taken = {int(number): int(first) + int(second) for first, second, number in re.findall(
        r"^ *\d+: +(\d+) +(\d+) .*virtio(\d)", run.output, re.MULTILINE)}
    equal("interrupt lines", sorted(taken), [0, 1, 2])
    for number, device in enumerate((disk, other, rng)):
        at_most(f"interrupts of {device['name']} in the guest", taken[number], device["interrupts"])
        at_least(f"interrupts of {device['name']} in the guest", taken[number],
                 device["interrupts"] * 0.9)


@test("system-virtio", BOARD)
def block_device(board):
    """The same with a disk of the host's, past its page cache."""
    io(board, HOST_DISK, "direct = true")


@test("system-virtio", BOARD)
def one_writer(board):
    """A second machine on a disk that is written is refused; readers share one."""
    make_disk(board, mib=1)
    machine = Machine(board, linux("wait", [(DISK,)]))
    machine.wait_for("ready", 60)
    board.write("/tmp/second.toml", linux("wait", [(DISK, "readonly = true")]))
    result = board.run("microvm --config /tmp/second.toml --check 2>&1")
    equal("exit status", result.status, 1)
    true("the reason", "writes to it" in result.output, result)
    machine.signal("TERM")
    equal("exit status", machine.wait(), 0)
    machine = Machine(board, linux("wait", [(DISK, "readonly = true")]))
    machine.wait_for("ready", 60)
    result = board.run("microvm --config /tmp/second.toml --check 2>&1")
    equal("exit status of a second reader", result.status, 0)
    machine.signal("TERM")
    equal("exit status", machine.wait(), 0)


@test("system-virtio", BOARD)
def reboots(board):
    """20 reboots with two disks and entropy in use, in locked memory: each boot finds what the one before wrote."""
    board.read(f"head -c {MIB} /dev/zero >{DISK}")
    run = Finished(board, linux("reboot reboots=20", [(DISK, "queues = 2"), (HOST_DISK, "direct = true")],
                                "[rng]\n", lock=True), 600)
    equal("exit status", run.status, 0)
    equal("boots the guest counts", re.findall(r"^boot=(\d+)", run.output, re.M),
          [str(boot) for boot in range(21)])
    equal("boots", run.statistics["boots"], 21)
    equal("count on the disk", board.read(f"head -c 2 {DISK}"), "21")
    for device in run.statistics["virtio"]:
        equal(f"failures of {device['name']}", device["failures"], 0)
        at_least(f"bytes read of {device['name']}", device["bytes_read"], 21 * 512)


@test("system-virtio", BOARD)
def driver_again(board):
    """A driver that is unbound and bound 50 times with the disk in use reads the same each time."""
    before = make_disk(board, mib=1)
    run = Finished(board, linux("rebind times=50", [(DISK,)]), 600)
    equal("exit status", run.status, 0)
    equal("checksums", re.findall(r"^again=(\w+)", run.output, re.M), [before] * 50)
    equal("failures", run.statistics["virtio"][0]["failures"], 0)


@test("system-virtio", BOARD)
def refused(board):
    """A disk that the host has mounted, or that is only there through the page cache, is refused with the remedy."""
    board.read(f"mkdir -p /mnt /tmp/ram && mount -t ext2 {FILES_DISK} /mnt && mount -t ramfs none /tmp/ram &&"
               f" head -c {MIB} /dev/zero >/tmp/ram/disk.raw")
    for path, line, reason, remedy in (
            (FILES_DISK, "", "the host uses it", f"unmount it, or stop what has it: lsblk {FILES_DISK}"),
            ("/tmp/ram/disk.raw", "direct = true", "it cannot be used past the page cache",
             "remove 'direct' if its file system has no O_DIRECT")):
        board.write("/tmp/vm.toml", linux("wait", [(path, line)]))
        for option in ("--check", ""):
            result = board.run(f"microvm --config /tmp/vm.toml {option} 2>&1 </dev/null")
            equal("exit status", result.status, 1)
            true(reason, reason in result.output and remedy in result.output, result)
    board.read("umount /mnt /tmp/ram")


@test("system-virtio", BOARD)
def killed(board):
    """kill -9 while a guest writes: what it was told is written is there, and the next start has the disk."""
    board.read(f"head -c {2 * MIB} /dev/zero >{DISK}")
    machine = Machine(board, linux("write", [(DISK,)]))
    machine.wait_for("written=30", 60)
    machine.signal("KILL")
    machine.wait()
    last = max(int(count) for count in re.findall(r"written=(\d+)", machine.output()))
    # Each block holds its own number.
    content = board.read(f"dd if={DISK} bs=4k count={last + 1} 2>/dev/null | tr -d '\\0' | tr '\\n' ' '")
    equal("blocks", content.split(), [str(block) for block in range(last + 1)])
    run = Finished(board, linux("read", [(DISK,)]), 120)
    equal("exit status", run.status, 0)
    equal("read again", told(run.output, "read"), board.read(f"md5sum <{DISK}").strip())


@test("system-virtio", BOARD)
def cut_off(board):
    """A file that is cut off gives the guest I/O errors, and the machine lives on."""
    make_disk(board, mib=3)
    board.read("rm -f /tmp/in; mkfifo /tmp/in; exec 8<>/tmp/in")
    machine = Machine(board, linux("shell", [(DISK,)]), stdin="/tmp/in")
    machine.wait_for("ready", 60)
    board.read(f"truncate -s 1M {DISK}")
    board.read("echo 'dd if=/dev/vda of=/dev/null bs=64k skip=32 count=1 iflag=direct && echo read$((1+1));"
               " dd if=/dev/zero of=/dev/vda bs=64k seek=32 count=1 oflag=direct && echo wrote$((1+1));"
               " dd if=/dev/vda of=/dev/null bs=64k count=1 iflag=direct && echo first$((1+1));"
               " poweroff -f' >/tmp/in")
    equal("exit status", machine.wait(), 0)
    board.read("exec 8>&-")
    output = machine.output()
    true("what is gone is not read", "read2" not in output, output)
    true("nor written", "wrote2" not in output, output)
    true("what is there is read", "first2" in output, output)
    equal("size", board.read(f"stat -c %s {DISK}").strip(), str(MIB))
    at_least("errors", statistics(board)["virtio"][0]["errors"], 2)


@test("system-virtio", BOARD)
def full(board):
    """A file system of the host's that is full gives the guest I/O errors, and the machine lives on."""
    board.read("mkdir -p /tmp/small && mount -t tmpfs -o size=1M none /tmp/small &&"
               " truncate -s 4M /tmp/small/disk.raw")
    run = Finished(board, linux("fill", [("/tmp/small/disk.raw",)]), 120)
    board.read("umount /tmp/small")
    equal("exit status", run.status, 0)
    equal("the guest's write", told(run.output, "fill"), "failed")
    equal("what there was room for", told(run.output, "first"), "ok")
    at_least("errors", run.statistics["virtio"][0]["errors"], 1)
