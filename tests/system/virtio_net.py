# SPDX-License-Identifier: Apache-2.0
"""Networks of Linux guests, by its own virtio driver: what a tap of the host's and the guest's interface see."""

import json
import re

from host import Finished, Machine, configuration, statistics
from net_guest import GUEST, HOST
from suite import at_least, at_most, equal, test, true
from virtio_disk import BOARD, told

TAP = "tap0"
IPERF = 4 << 20
UNREAD = 1 << 20  # the server ends with the client, and may leave what its socket has


def linux(script, *lines, which=f'tap = "{TAP}"', extra="", cpus=1):
    return configuration(f"console=ttyAMA0 quiet test={script}", memory="64M", kernel="/t/Image",
                         initrd="/t/net.initrd", platform=(), cpus=cpus) + "\n".join(
                             ("[[net]]", which, *lines, extra))


class tap:
    """with tap(board): there is a tap, with the host's address."""

    def __init__(self, board, flags="", name=TAP, address=HOST):
        self.board, self.flags, self.name, self.address = board, flags, name, address

    def __enter__(self):
        self.board.read(f"ip tuntap add {self.name} mode tap {self.flags} &&"
                        f" ip addr add {self.address}/24 dev {self.name} && ip link set {self.name} up")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.board.read(f"ip link del {self.name} 2>/dev/null; rm -f /tmp/peer*; true")

    def count(self, name):
        return int(self.board.read(f"cat /sys/class/net/{self.name}/statistics/{name}"))


def serve(port, connections):
    """The start of a server; what it has carried is in a file when it ends."""
    return f"/t/tcp_peer serve {port} {connections} >/tmp/peer{port} &"


def carried(board, port):
    return dict(re.findall(r"^(\w+)=(.*)$", board.read(f"cat /tmp/peer{port}"), re.M))


def equal_ends(board, run, name, port, connections):
    host = carried(board, port)
    equal(f"{name}: connections", host["connections"], str(connections))
    for what in ("connections", "up", "down"):
        equal(f"{name}: {what}, in the guest", told(run.output, f"{name}_{what}"), host[what])


def cpu_ticks(board, seconds):
    """What the VMM uses of a CPU in this time, in hundredths of a second."""
    words = board.read(f"cat /proc/$(pidof microvm)/stat; sleep {seconds};"
                       " cat /proc/$(pidof microvm)/stat").splitlines()
    first, second = (sum(map(int, line.rpartition(")")[2].split()[11:13])) for line in words)
    return second - first


def iperf_carried(board, run, way, port):
    """Bytes by iperf3, as either end counts them: of its last window, the receiver may leave some unread."""
    end = json.loads(board.read(f"cat /tmp/peer{port}"))["end"]
    sent, received = (int(told(run.output, f"{way}_{what}")) for what in ("sent", "received"))
    print(f"    iperf3 {way}: sent {sent}, received {received}")
    of_host = "sum_received" if way == "up" else "sum_sent"
    equal(f"{way}: bytes, by the host's end", end[of_host]["bytes"], received if way == "up" else sent)
    at_least(f"{way}: bytes", sent, IPERF)
    at_most(f"{way}: bytes that are not read", sent - received, UNREAD)


def carries(board, connections, *lines, extra=""):
    """Pings, bulk both ways and short connections: both ends have the same bytes and count the same packets."""
    before = [f"iperf3 -s -1 -J -p {port} >/tmp/peer{port} &" for port in (5201, 5202)]
    with tap(board) as host:
        run = Finished(board, linux(f"traffic connections={connections}", *lines, extra=extra), 300,
                       before="\n".join((*before, serve(5001, 1), serve(5002, connections))))
        equal(f"exit status\n{run}", run.status, 0)
        equal("pings", told(run.output, "pings"), "1000 packets received")
        iperf_carried(board, run, "up", 5201)
        iperf_carried(board, run, "down", 5202)
        equal_ends(board, run, "bulk", 5001, 1)
        equal_ends(board, run, "short", 5002, connections)
        equal("packets to the guest", host.count("tx_packets"), int(told(run.output, "rx_packets")))
        equal("packets of the guest", host.count("rx_packets"), int(told(run.output, "tx_packets")))
    return run


@test("system-virtio", BOARD)
def traffic(board):
    """1,000 pings, iperf3 and 4 MiB both ways, 10,000 connections: both ends have the same bytes and count the same packets."""
    run = carries(board, 10000, 'mac = "52:54:00:00:00:07"')
    equal("mac", told(run.output, "mac"), "52:54:00:00:00:07")
    net, = run.statistics["virtio"]
    print(f"    {net}")
    equal("name", net["name"], "net0")
    equal("bytes to the guest", net["bytes_read"], int(told(run.output, "rx_bytes")))
    equal("bytes of the guest", net["bytes_written"], int(told(run.output, "tx_bytes")))
    equal("errors", (net["errors"], net["failures"]), (0, 0))


@test("system-virtio", BOARD)
def kernel_carries(board):
    """The same with vhost and 1,000 connections, beside sockets: the host's kernel carries the packets."""
    run = carries(board, 1000, "vhost = true", extra="[vsock]\ncid = 3\n")
    for device, name in zip(run.statistics["virtio"], ("net0", "vsock"), strict=True):
        equal("statistics", (device["name"], device["requests"], device["failures"]), (name, None, 0))


@test("system-virtio", BOARD)
def two_queues(board):
    """Two pairs of queues and two vCPUs: two transfers at once are whole at both ends."""
    with tap(board, "multi_queue"):
        run = Finished(board, linux("queues", "queues = 2", cpus=2), 300,
                       before=serve(5001, 5) + serve(5002, 5))
        equal(f"exit status\n{run}", run.status, 0)
        equal("queues", told(run.output, "queues"), "2")
        equal_ends(board, run, "first", 5001, 5)
        equal_ends(board, run, "second", 5002, 5)
    net, = run.statistics["virtio"]
    equal("errors", (net["errors"], net["failures"]), (0, 0))


class shell:
    """with shell(board, config) as say: a guest with a shell, and what is typed there."""

    def __init__(self, board, config):
        self.board, self.config = board, config

    def __enter__(self):
        self.board.read("rm -f /tmp/in; mkfifo /tmp/in; exec 8<>/tmp/in")
        self.machine = Machine(self.board, self.config, stdin="/tmp/in")
        self.machine.wait_for("ready", 60)
        return self

    def __call__(self, command, answer=None):
        self.board.read(f"echo '{command}' >/tmp/in")
        if answer:
            self.machine.wait_for(answer, 60)

    def __exit__(self, kind, *_):
        if kind is None:
            self("poweroff -f")
            equal("exit status", self.machine.wait(), 0)
            self.board.read("exec 8>&-")


@test("system-virtio", BOARD)
def one_machine(board):
    """A tap has one machine, and without a driver in it packets cost nothing; so does a tap that is gone."""
    with tap(board):
        with shell(board, linux("shell")) as say:
            board.write("/tmp/second.toml", linux("shell"))
            result = board.run("microvm --config /tmp/second.toml --check 2>&1")
            equal("exit status of a second machine", result.status, 1)
            true("the reason", "has it" in result.output and "of its own" in result.output, result)
            say(f"ping -q -c 2 {HOST} && echo reached$((1+1))", "reached2")
            # The host's packets wait where nobody takes them.
            say("cd /sys/bus/virtio/drivers/virtio_net; echo virtio0 >unbind; echo unbound$((1+1))",
                "unbound2")
            board.read(f"ip neigh replace {GUEST} lladdr 02:00:00:00:00:01 dev {TAP};"
                       f" ping -q -c 20 -i 0.01 -W 1 {GUEST} >/dev/null; true")
            at_most("hundredths of a second of the VMM, with packets for nobody", cpu_ticks(board, 2), 3)
            say(f"echo virtio0 >bind; ifconfig eth0 {GUEST} up; echo bound$((1+1))", "bound2")
            board.read(f"ip neigh del {GUEST} dev {TAP}")
            say(f"ping -q -c 2 {HOST} && echo again$((1+1))", "again2")
            board.read(f"ip link set {TAP} down")
            say(f"ping -q -c 1 -W 1 {HOST} || echo down$((1+1))", "down2")
            board.read(f"ip link set {TAP} up")
            say(f"ping -q -c 2 {HOST} && echo up$((1+1))", "up2")
            board.read(f"ip link del {TAP}")
            say(f"ping -q -c 1 -W 1 {HOST} || echo gone$((1+1))", "gone2")
            at_most("hundredths of a second of the VMM, without a tap", cpu_ticks(board, 2), 3)
    at_least("packets that were lost", statistics(board)["virtio"][0]["errors"], 1)


@test("system-virtio", BOARD)
def refused_taps(board):
    """Taps that cannot be had are refused with the remedy, by --check as by a start; one that is passed open is used."""

    def check(what, status, before="", lines=()):
        board.write("/tmp/vm.toml", linux("traffic", *lines))
        result = board.run(f"{before} microvm --config /tmp/vm.toml --check 2>&1")
        equal(f"exit status\n{result.output}", result.status, status)
        true(what, what in result.output, result)

    board.read("chmod 666 /dev/kvm; chmod 600 /dev/net/tun")
    check("may not be opened by this user", 1, "/t/as_nobody")
    board.read("chmod 666 /dev/net/tun")
    check("it is not this user's", 1, "/t/as_nobody")
    with tap(board, "user 65534"):
        check("ok", 0, "/t/as_nobody")
        check("multi_queue", 1, lines=("queues = 2",))
    board.read("chmod 600 /dev/kvm /dev/net/tun")
    with tap(board):
        check("ok", 0)
        board.write("/tmp/vm.toml", linux("rebind", which="tap_fd = 9"))
        run = board.run(f"/t/with_tap {TAP} 9 microvm --config /tmp/vm.toml </dev/null 2>&1", 240)
        equal(f"exit status\n{run.output}", run.status, 0)
        true("pings", "again=3 packets received" in run.output, run)
