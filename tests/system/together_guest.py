# SPDX-License-Identifier: Apache-2.0
"""The first process of a guest that has all virtio devices."""

NETWORKS = ("192.168.77", "192.168.78")  # of eth0 and eth1: the host is 1, the guest 2
PORT, BULK_PORT = 1000, 1001  # of connections that end, and of such that are cut off
SENT = 512  # bytes of each of the first
# What all_work says if all do.
ALL_WORK = ["ping", "ping", "echo", "random", "value=1"]

TOGETHER_INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
word() {{ sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }}
up() {{
  ifconfig eth0 {NETWORKS[0]}.2 up
  ifconfig eth1 {NETWORKS[1]}.2 up
}}
chip() {{ set -- /dev/gpiochip*; echo ${{1#/dev/}}; }}
# Says which devices carry something, of all but the disk; the console carries the words as well.
all_work() {{
  words=$1
  for net in {" ".join(NETWORKS)}; do ping -q -c 1 -W 5 $net.1 >/dev/null && words="$words ping"; done
  vsock_echo send 2 {PORT} 1 {SENT} >/dev/null && words="$words echo"
  dd if=/dev/hwrng of=/random bs=32 count=1 2>/dev/null && [ -s /random ] && words="$words random"
  words="$words $(gpio get $(chip) 1)"
  echo "$words" >/dev/hvc0
  echo "$words"
}}
use() {{ "$@" >/dev/null 2>&1 & users="$users $!"; }}
# A device is in use until end_use, or until it is gone.
use_network() {{ for net in {" ".join(NETWORKS)}; do use ping -q -i 0.01 -s 1400 $net.1; done; }}
use_console() {{ use dd if=/dev/zero of=/dev/hvc0 bs=64; }}
use_entropy() {{ use dd if=/dev/hwrng of=/dev/null bs=512; }}
use_sockets() {{ use vsock_echo send 2 {BULK_PORT} 1 1000000000; }}
use_lines() {{
  gpio out $(chip) 0 1 >/driven & users="$users $!"
  until [ -s /driven ]; do sleep 0.01; done
}}
use_disk() {{ use dd if=/dev/vda of=/dev/vda bs=4k seek=2048 iflag=direct oflag=direct; }}
end_use() {{ kill $users 2>/dev/null; wait; users=; }}
# Its user has begun when the driver goes.
again() {{
  use_$1
  sleep 0.02
  cd /sys/bus/virtio/drivers/$2
  for device in virtio*; do
    echo $device >unbind
    echo $device >bind
  done
  end_use
}}
up
times=$(word times)
case $(word test) in
  rebind)
    time=0
    while [ $time -lt $times ]; do
      time=$((time + 1))
      again network virtio_net
      again console virtio_console
      again entropy virtio_rng
      again sockets '*vsock*'
      again lines '*gpio*'
      up
      all_work "again=$time"
    done ;;
  reboot)
    boot=$(head -c 2 /dev/vda | tr -d '\\0')
    boot=$((boot + 1))
    all_work "boot=$boot"
    printf $boot | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null
    for device in disk network console entropy sockets lines; do use_$device; done
    sleep 0.05
    case $boot in
      2 | $times) echo "in use"; read -r line ;;
    esac
    [ $boot = $times ] || reboot -f ;;
esac
poweroff -f
"""
