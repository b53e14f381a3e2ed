# SPDX-License-Identifier: Apache-2.0
"""Sockets between host and guest, by Linux' own drivers at both ends: what each has sent and got."""

import re

from host import Machine, configuration, statistics
from suite import at_least, equal, test, true
from virtio_disk import BOARD

MIB = 1 << 20
NOBODY_TELLS = dict.fromkeys(("requests", "bytes_read", "bytes_written", "errors", "notifications", "interrupts"))


def linux(script, cid=3, extra=""):
    return configuration(f"console=ttyAMA0 quiet test={script}", memory="64M", kernel="/t/Image",
                         initrd="/t/virtio.initrd", platform=()) + f"[vsock]\ncid = {cid}\n" + extra


def serve(board, connections):
    """The host's end for so many connections has its port; what it has got is in a file when it ends."""
    board.read(f"/t/vsock_echo serve 1000 {connections} >/tmp/served 2>&1 & server=$!;"
               " until [ -s /tmp/served ]; do sleep 0.05; done; grep -q ^serving /tmp/served")


def totals(text):
    """What vsock_echo says of connections: [(what, (connections, bytes, sum))]."""
    return [(what, (int(connections), int(count), int(total, 16))) for what, connections, count, total in
            re.findall(r"^(\w+) connections=(\d+) bytes=(\d+) sum=(\w+)", text, re.M)]


def served(board):
    """What the host's end has got, once it has ended: it has its port for a moment after it has said so."""
    (what, total), = totals(board.read(
        "n=0; until grep -q ^served /tmp/served || [ $n -gt 600 ]; do sleep 0.1; n=$((n + 1)); done;"
        " cat /tmp/served; ! grep -q ^served /tmp/served || wait $server", 200))
    equal("who", what, "served")
    return total


def sent_and_back(text):
    """What one end has sent on all of its connections, which all came back."""
    said = totals(text)
    sent = [total for what, total in said if what == "sent"]
    equal("what came back", [total for what, total in said if what == "received"], sent)
    return tuple(map(sum, zip(*sent))) if sent else (0, 0, 0)


def equal_ends(what, sent, got):
    equal(f"{what}: connections and bytes", got[:2], sent[:2])
    equal(f"{what}: checksum", got[2], sent[2] % (1 << 64))


@test("system-virtio", BOARD)
def sockets(board):
    """Sockets: 4 MiB on a connection and 500 connections, both ways at once: checksums and counts of both ends."""
    serve(board, 501)
    machine = Machine(board, linux("sockets"))
    machine.wait_for("serving", 60)
    said = board.read(f"/t/vsock_echo send 3 1000 1 {4 * MIB}; /t/vsock_echo send 3 1000 500 2048", 300)
    equal("exit status", machine.wait(300), 0)
    output = machine.output()
    of_guest, of_host = sent_and_back(output), sent_and_back(said)
    equal("bytes of the guest", of_guest[:2], (501, 4 * MIB + 500 * 2048))
    equal("bytes of the host", of_host[:2], (501, 4 * MIB + 500 * 2048))
    equal_ends("guest to host", of_guest, served(board))
    equal_ends("host to guest", of_host, dict(totals(output))["served"])
    # Interrupts come from the host's kernel, and do not come by this program.
    at_least("interrupts of the guest", int(re.search(r"(\d+) .*virtio0", output)[1]), 100)
    device, = statistics(board)["virtio"]
    equal("statistics", device, {"name": "vsock", **NOBODY_TELLS, "failures": 0})


@test("system-virtio", BOARD)
def sockets_cid(board):
    """Sockets: a CID has one machine, which may be killed: the next start has it."""
    machine = Machine(board, linux("wait"))
    machine.wait_for("ready", 60)
    board.write("/tmp/second.toml", linux("wait"))
    for command in ("--check", ""):
        result = board.run(f"microvm --config /tmp/second.toml {command} 2>&1")
        equal("exit status", result.status, 1)
        true("the reason", "another machine has the CID 3" in result.output, result)
    board.write("/tmp/second.toml", linux("wait", 4))
    equal("exit status with another", board.run("microvm --config /tmp/second.toml --check 2>&1").status, 0)
    machine.signal("KILL")
    machine.wait()
    serve(board, 501)
    machine = Machine(board, linux("sockets"))
    machine.wait_for("received connections=500", 120)
    machine.signal("TERM")
    equal("exit status", machine.wait(), 0)
    board.read("mv /dev/vhost-vsock /dev/vhost-vsock.away")
    result = board.run("microvm --config /tmp/second.toml --check 2>&1")
    board.read("mv /dev/vhost-vsock.away /dev/vhost-vsock")
    true("the reason", "this host offers no vhost-vsock" in result.output, result)
