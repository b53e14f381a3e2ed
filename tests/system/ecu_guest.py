# SPDX-License-Identifier: Apache-2.0
"""The first process of a guest that is an ECU beside users of all its other devices."""

# What is started before the ECU's program goes on until that powers off.
ECU_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
forever() { while :; do "$@" >/dev/null 2>&1; done }
lines() { number=0; while :; do number=$((number + 1)); echo "line $number"; sleep 0.02; done >/dev/hvc0; }
ifconfig eth0 192.168.77.2 up
forever dd if=/dev/vda of=/dev/null bs=64k &
forever dd if=/dev/zero of=/dev/vda bs=4k count=64 conv=fsync &
forever dd if=/dev/hwrng of=/dev/null bs=512 count=4 &
forever ping -A -q -c 1000 192.168.77.1 &
forever vsock_echo send 2 1000 1 100000 &
lines &
sleep 1
ecu can0
"""
