# SPDX-License-Identifier: Apache-2.0
"""The first process of the tests' guest with a network."""

HOST, GUEST = "192.168.77.1", "192.168.77.2"

NET_INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
word() {{ sed -n "s/.*$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }}
pings() {{ ping -A -q -W 1 -c $1 -s 1400 {HOST} | grep -o '[0-9]* packets received'; }}
# What iperf3 has sent and received, by its report.
iperf() {{
  iperf3 -c {HOST} -p $2 -n 4M -J $3 | awk -v way=$1 '
    /"sum_sent"/ {{ end = "sent" }}
    /"sum_received"/ {{ end = "received" }}
    end && /"bytes"/ {{ gsub(/[^0-9]/, ""); print way "_" end "=" $0; end = "" }}'
}}
up() {{ ifconfig eth0 {GUEST} up; }}
up
case $(word test) in
  traffic)
    echo "mac=$(cat /sys/class/net/eth0/address)"
    echo "pings=$(pings 1000)"
    iperf up 5201
    iperf down 5202 -R
    tcp_peer ask {HOST} 5001 1 4194304 4194304 >/bulk
    tcp_peer ask {HOST} 5002 $(word connections) 100 300 >/short
    sed 's/^/bulk_/' /bulk
    sed 's/^/short_/' /short
    cd /sys/class/net/eth0/statistics
    ifconfig eth0 down
    for name in rx_packets tx_packets rx_bytes tx_bytes; do echo $name=$(cat $name); done ;;
  queues)
    echo "queues=$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
    tcp_peer ask {HOST} 5001 5 200000 200000 >/first &
    tcp_peer ask {HOST} 5002 5 200000 200000 >/second
    wait
    sed 's/^/first_/' /first
    sed 's/^/second_/' /second ;;
  rebind)
    cd /sys/bus/virtio/drivers/virtio_net
    for device in virtio*; do
      for time in 1 2 3 4 5; do
        pings 1000 >/dev/null &
        sleep 0.2
        echo $device >unbind
        echo $device >bind
        kill $!
        up
        echo "again=$(pings 3)"
      done
    done ;;
  shell) echo ready; exec setsid cttyhack sh ;;
  ticks) sleep 1; net_ticks eth0 ;;
esac
poweroff -f
"""
