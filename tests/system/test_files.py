# SPDX-License-Identifier: Apache-2.0
"""The files the tests put on a board, below /t."""

import pathlib
import re
import subprocess

from archive import Archive
from board import AGENT, TOP
from disk_guest import FILES_INIT
from ecu_guest import ECU_INIT
from host import HOST_STATE
from net_guest import NET_INIT
from together_guest import TOGETHER_INIT

GUEST_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
word() { sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
case $(word test) in
  processors) echo "processors=$(grep -c ^processor /proc/cpuinfo)" ;;
  memory) awk '/MemTotal/ { print "memory_kib=" $2 }' /proc/meminfo ;;
  wait) echo ready; exec sleep 1000 ;;
  shell) echo ready; exec setsid cttyhack sh ;;
  reboot) echo rebooting; reboot -f ;;
esac
echo "guest: up"
poweroff -f
"""


# Of the guest with drivers for the automotive board's devices.
IDENTITY_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
word() { sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
copy() {
  cd /sys/module/dmatest/parameters
  echo $1 >iterations; echo dma0chan0 >channel; echo 1 >run
  cat channel
}
case $(word test) in
  dma) copy 1000; cat wait; dmesg | grep dmatest ;;
  can)
    cd /sys/bus/platform/devices/*.canfd
    [ -e of_node/resets ] && echo resets: yes
    [ -e driver ] && cd -P driver && echo driver: ${PWD##*/} ;;
  endless) copy 0; sleep 1; echo copying; sleep 1000 ;;
  net | net_only | up | iperf) ifconfig eth0 192.168.9.2 up; sleep 2 ;;
esac
case $(word test) in
  up) echo up; sleep 1000 ;;
  net | net_only) ping -A -c 50 -s 1400 192.168.9.1 ;;
  iperf)
    echo 1000000 >/proc/sys/net/core/rmem_max
    echo 1000000 >/proc/sys/net/core/wmem_max
    for round in 1 2 3 4; do
      sleep 1
      iperf3 $(word iperf | tr , ' ') >/tmp/report && echo @@report && cat /tmp/report && echo @@end
    done
    sleep 1; cat /proc/net/dev ;;
esac
if [ $(word test) = net ]; then
  wget -q -O - http://192.168.9.1:5000/initrd | md5sum
  sleep 1
  ifconfig eth0 down
  cd /sys/class/net/eth0/statistics
  for name in rx_packets tx_packets; do echo $name=$(cat $name); done
fi
poweroff -f
"""


# Of the guest with virtio devices.
VIRTIO_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
word() { sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
case $(word test) in
  wait) echo ready; exec sleep 1000 ;;
  read_and_wait) cat /dev/vda >/dev/null; echo ready; exec sleep 1000 ;;
  shell) echo ready; exec setsid cttyhack sh ;;
  commands)
    stty -echo
    dmesg -n 1
    echo ready
    while IFS= read -r line; do eval "$line"; done ;;
  read) echo "read=$(md5sum </dev/vda)" ;;
  ticks) disk_ticks /dev/vda ;;
  echo)
    stty raw -echo icrnl onlcr opost
    echo ready
    while read -r line; do echo "echo:$line"; done ;;
  hvc)
    stty -echo -opost
    awk 'BEGIN { for (i = 0; i < 16384; i++) printf "%063d\\n", i }' >/data
    echo "sent=$(md5sum </data)"
    echo @@begin; cat /data; echo @@end
    echo ready
    while read -r line && [ "$line" != quit ]; do echo "echo:$line"; done ;;
  io)
    echo "serial=$(cat /sys/block/vda/serial)"
    echo "readonly=$(cat /sys/block/vda/ro) $(cat /sys/block/vdb/ro)"
    echo "queues=$(ls /sys/block/vda/mq | wc -l)"
    echo "read=$(head -c 2097152 /dev/vda | md5sum)"
    head -c 524288 /dev/urandom >/data
    echo "wrote=$(md5sum </data)"
    dd if=/data of=/dev/vda bs=4k count=64 seek=256 oflag=direct 2>/dev/null
    dd if=/data of=/dev/vda bs=128k count=2 skip=2 seek=10 conv=fsync 2>/dev/null
    echo 3 >/proc/sys/vm/drop_caches
    echo "again=$(dd if=/dev/vda bs=64k count=8 skip=16 iflag=direct 2>/dev/null | md5sum)"
    dd if=/data of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null && echo write_to_readonly=done ||
      echo write_to_readonly=refused
    echo "source=$(cat /sys/class/misc/hw_random/rng_current)"
    for number in 1 2; do
      echo "random$number=$(dd if=/dev/hwrng bs=512 count=1 2>/dev/null | md5sum)"
    done
    grep virtio /proc/interrupts ;;
  reboot)
    boot=$(head -c 2 /dev/vda | tr -d '\\0')
    boot=${boot:-0}
    echo "boot=$boot"
    printf $((boot + 1)) | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null
    while :; do dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null; done &
    while :; do dd if=/dev/vdb of=/dev/null bs=64k iflag=direct 2>/dev/null; done &
    while :; do dd if=/dev/zero of=/dev/vdb bs=128k count=8 oflag=direct 2>/dev/null; done &
    cat /dev/hwrng >/dev/null &
    sleep 0.2
    [ $boot -ge $(word reboots) ] || reboot -f ;;
  rebind)
    cd /sys/bus/virtio/drivers/virtio_blk
    for device in virtio*; do
      time=0
      while [ $time -lt $(word times) ]; do
        time=$((time + 1))
        dd if=/dev/vda of=/dev/null bs=4k iflag=direct 2>/dev/null &
        sleep 0.05
        echo $device >unbind
        echo $device >bind
        wait
        echo "again=$(md5sum </dev/vda)"
      done
    done ;;
  write)
    block=0
    while :; do
      echo $block | dd of=/dev/vda bs=4k seek=$block conv=notrunc,fsync 2>/dev/null
      echo "written=$block"
      block=$((block + 1))
    done ;;
  sockets)
    vsock_echo serve 1000 501 &
    vsock_echo send 2 1000 1 4194304
    vsock_echo send 2 1000 500 2048
    wait
    grep virtio /proc/interrupts ;;
  fill)
    dd if=/dev/zero of=/dev/vda bs=64k count=1 oflag=direct 2>/dev/null && echo first=ok
    dd if=/dev/zero of=/dev/vda bs=64k seek=1 oflag=direct 2>/dev/null && echo fill=done ||
      echo fill=failed ;;
esac
poweroff -f
"""


def guest_initrd(image, init=GUEST_INIT, programs=(), own=(), built=()):
    """The file system of the tests' Linux guest; programs: those of unpacked packages, with their folders; own: the
    tests' own; built: the checkout's."""
    archive = Archive()
    archive.console()
    for folder in ("/proc", "/sys", "/disk"):
        archive.folder(folder)
    archive.file("/bin/busybox", pathlib.Path(image["busybox"]).read_bytes(), True)
    for applet in ("sh", "mount", "sed", "grep", "awk", "sleep", "setsid", "cttyhack", "stty", "cat",
                   "reboot", "poweroff", "nproc", "echo", "dmesg", "ifconfig", "ping", "wget", "md5sum",
                   "tr", "dd", "head", "wc", "ls", "printf", "rm", "umount", "sync"):
        archive.link(f"/bin/{applet}", "busybox")
    archive.file("/init", init, True)
    for name in own:
        archive.file(f"/bin/{name}", pathlib.Path(image["programs"], name).read_bytes(), True)
    for program in built:
        archive.file(f"/bin/{program.name}", program.read_bytes(), True)
    for name, root in programs:
        archive.folder("/tmp")
        add_program(archive, root, name, "/bin")
    return archive.compressed()


def add_ecu(archive, image):
    """The demonstration's two programs: that of its guest, beside users of all other devices, and that of the host."""
    folder = TOP / "build/arm64/image"
    initrd = guest_initrd(image, ECU_INIT, own=["vsock_echo"], built=[folder / "ecu"])
    archive.file("/t/ecu.initrd", initrd)
    for program in (folder / "ecu_tester", pathlib.Path(image["programs"], "vsock_echo")):
        archive.file(f"/t/{program.name}", program.read_bytes(), True)


def power_off_initrd(image):
    """A file system whose first process powers off."""
    archive = Archive()
    archive.console()
    archive.file("/init", pathlib.Path(image["programs"], "power_off").read_bytes(), True)
    return archive.compressed()


def add_program(archive, root, name, folder):
    """A program of unpacked packages, with the libraries it needs, beside those of the image."""
    if archive.has(f"{folder}/{name}"):
        return
    found = [path for path in sorted(pathlib.Path(root).rglob(name))
             if path.is_file() and path.read_bytes().startswith(b"\x7fELF")]
    archive.file(f"{folder}/{name}", found[0].read_bytes(), True)
    needed = subprocess.run(["readelf", "-d", found[0]], check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    for library in re.findall(r"\(NEEDED\).*\[(.*)\]", needed):
        where = "/lib" if library.startswith("ld-linux") else "/lib/aarch64-linux-gnu"
        add_program(archive, root, library, where)


def largest_tree():
    """The largest device tree of Debian's arm64 kernel."""
    folder = subprocess.run([TOP / "tests/suites/host_trees"], check=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    trees = pathlib.Path(folder).rglob("*.dtb")
    return max(trees, key=lambda path: (path.stat().st_size, path)).read_bytes()


def test_files(image, suite):
    archive = Archive()
    archive.file("/t/agent", AGENT, True)
    archive.file("/t/host_state", HOST_STATE)
    archive.file("/t/guest.bin", pathlib.Path(image["guest"]).read_bytes())
    archive.file("/t/Image", pathlib.Path(image["guest_kernel"]).read_bytes())
    archive.file("/t/initrd", guest_initrd(image))
    archive.file("/t/power-off.initrd", power_off_initrd(image))
    if suite == "system-virt":
        archive.file("/t/microvm-bench", pathlib.Path(image["bench"]).read_bytes(), True)
    if suite == "system-virtio":
        archive.file("/t/virtio.initrd", guest_initrd(image, VIRTIO_INIT, own=["gpio", "vsock_echo"]))
        archive.file("/t/files.initrd", guest_initrd(image, FILES_INIT, [("fio", image["fio"])]))
        archive.file("/t/net.initrd", guest_initrd(image, NET_INIT, [("iperf3", image["iperf3"])],
                                                       own=["tcp_peer"]))
        archive.file("/t/together.initrd", guest_initrd(image, TOGETHER_INIT, own=["gpio", "vsock_echo"]))
        for name in ("gpio", "tcp_peer", "vsock_echo", "with_tap"):
            archive.file(f"/t/{name}", pathlib.Path(image["programs"], name).read_bytes(), True)
        add_program(archive, image["iperf3"], "iperf3", "/bin")
    if suite == "system-versal":
        archive.file("/t/identity.initrd", guest_initrd(image, IDENTITY_INIT))
        add_ecu(archive, image)
    if suite == "figures":
        archive.file("/t/largest.dtb", largest_tree())
        archive.file("/t/net.initrd", guest_initrd(image, NET_INIT, own=["net_ticks"]))
        archive.file("/t/net_ticks", pathlib.Path(image["programs"], "net_ticks").read_bytes(), True)
        archive.file("/t/disk.initrd", guest_initrd(image, VIRTIO_INIT, own=["disk_ticks"]))
        archive.file("/t/identity.initrd",
                     guest_initrd(image, IDENTITY_INIT, [("iperf3", image["iperf3"])]))
        add_program(archive, image["iperf3"], "iperf3", "/bin")
    for name in ("as_nobody", "count_in_memory", "interrupt_threads", "poke", "pty_end", "sum_words", "ticks"):
        archive.file(f"/t/{name}", pathlib.Path(image["programs"], name).read_bytes(), True)
    add_program(archive, image["strace"], "strace", "/bin")
    return archive.compressed()
