# SPDX-License-Identifier: Apache-2.0
"""The Linux guest that uses virtio devices: its first process, which is the same under every VMM."""

import test_files
from net_guest import GUEST, HOST

INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
word() {{ sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }}
case $(word test) in
  disk) disk_ticks /dev/vda ;;
  endless) disk_ticks /dev/vda endless ;;
  net) ifconfig eth0 {GUEST} up; sleep 1; net_ticks eth0 ;;
  ready) echo ready; exec sleep 1000 ;;
  all)
    dd if=/dev/vda of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null && echo disk=used
    dd if=/dev/hwrng of=/dev/null bs=512 count=1 2>/dev/null && echo rng=used
    ifconfig eth0 {GUEST} up
    ping -A -q -c 20 -s 1400 {HOST} | grep -q ' 20 packets received' && echo net=used
    [ -e /dev/vsock ] && ls /sys/bus/virtio/drivers/*vsock*/virtio* >/dev/null && echo vsock=used
    [ -e /sys/class/tty/hvc0 ] && echo console=used
    echo ready
    exec sleep 1000 ;;
esac
poweroff -f
"""


def initrd(image):
    return test_files.guest_initrd(image, INIT, own=["disk_ticks", "net_ticks"])
