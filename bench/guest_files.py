# SPDX-License-Identifier: Apache-2.0
"""The files the benchmark puts on the emulated host."""

import pathlib

import test_files
import virtio_guest
from archive import Archive
from board import AGENT

# Real-time priority, 1,000 wake-ups of one timer thread.
CYCLICTEST_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm
cyclictest --quiet --mlockall --priority=80 --threads=1 --interval=1000 --loops=1000
poweroff -f
"""


def cyclictest_initrd(image):
    archive = Archive()
    archive.console()
    archive.folder("/proc")
    archive.file("/bin/busybox", pathlib.Path(image["busybox"]).read_bytes(), True)
    for applet in ("sh", "mount", "mkdir", "poweroff"):
        archive.link(f"/bin/{applet}", "busybox")
    test_files.add_program(archive, image["cyclictest"], "cyclictest", "/bin")
    archive.file("/init", CYCLICTEST_INIT, True)
    return archive.compressed()


def host_files(image):
    """Not compressed: the emulated host unpacks slower than it reads."""
    archive = Archive()
    archive.file("/t/agent", AGENT, True)
    archive.file("/t/guest.bin", pathlib.Path(image["guest"]).read_bytes())
    archive.file("/t/first.bin", pathlib.Path(image["guest"]).with_name("first.bin").read_bytes())
    archive.file("/t/Image", pathlib.Path(image["guest_kernel"]).read_bytes())
    archive.file("/t/initrd", test_files.guest_initrd(image))
    archive.file("/t/power-off.initrd", test_files.power_off_initrd(image))
    archive.file("/t/virtio.initrd", virtio_guest.initrd(image))
    for name in ("load", "restart"):
        archive.file(f"/t/{name}", pathlib.Path(image["own"], name).read_bytes(), True)
    for name in ("net_ticks", "ticks"):
        archive.file(f"/t/{name}", pathlib.Path(image["programs"], name).read_bytes(), True)
    if "cyclictest" in image:
        archive.file("/t/cyclictest.initrd", cyclictest_initrd(image))
    if "qemu" in image:
        test_files.add_program(archive, image["qemu"], "qemu-system-aarch64", "/opt/qemu")
    if "kvmtool" in image:
        archive.file("/opt/kvmtool/lkvm", pathlib.Path(image["kvmtool"]).read_bytes(), True)
    return archive.content()
