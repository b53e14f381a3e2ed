# SPDX-License-Identifier: Apache-2.0
"""What the guest with a file system on its disk does."""

FILES_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
word() { sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
# Random reads and writes of some sizes, each block with its checksum, all read again behind the last one.
mixed() {
  name=$1
  shift
  fio --directory=/disk --rw=randrw --rwmixread=30 --bssplit=4k/30:16k/30:128k/40 --verify=crc32c --verify_fatal=1 \\
    --thread --minimal --name=$name "$@" >/tmp/report.$name 2>&1
  echo "$name=$?"
  grep -vE 'no version information|^3;' /tmp/report.$name
}
mount -t ext2 /dev/vda /disk || { echo mount=failed; poweroff -f; }
case $(word test) in
  fio)
    mixed direct --direct=1 --ioengine=libaio --iodepth=16 --size=24M --loops=$(word loops)
    mixed buffered --ioengine=psync --size=20M --loops=$(word loops)
    cd /disk; md5sum direct.0.0 buffered.0.0 ;;
  keep)
    rm -f /disk/*.0.0
    dd if=/dev/zero of=/disk/keep bs=64k count=64 2>/dev/null; sync
    mixed busy --direct=1 --ioengine=libaio --iodepth=16 --size=24M --loops=1000 &
    until [ -s /disk/busy.0.0 ]; do sleep 0.1; done
    block=0
    while :; do
      head -c 65536 /dev/urandom >/tmp/block
      dd if=/tmp/block of=/disk/keep bs=64k seek=$block conv=notrunc,fsync 2>/dev/null
      echo "kept=$block $(md5sum </tmp/block)"
      block=$((block + 1))
    done ;;
  kept)
    block=0
    while [ $block -lt 64 ]; do
      echo "kept=$block $(dd if=/disk/keep bs=64k skip=$block count=1 2>/dev/null | md5sum)"
      block=$((block + 1))
    done
    rm -f /disk/*.0.0
    mixed after --direct=1 --ioengine=libaio --iodepth=16 --size=4M ;;
esac
cd /; umount /disk
poweroff -f
"""
