# SPDX-License-Identifier: Apache-2.0
"""What virtio devices cost a Linux guest, everything included (guest, host kernel, VMM)."""

import re
import statistics

from contenders import Job
from host import resident_beside
from measure import MAKE_DISK, NotMeasured, one_line
from net_guest import HOST

DISK = "/tmp/disk.raw"
TAP = "tap0"
# Those that the guest's program and its other end send, with the ones in which it asks for more.
FRAMES = 1 + 16384
USED = ("disk", "rng", "net", "vsock", "console")


class Tap:
    """with Tap(board): there is one, with the host's address."""

    def __init__(self, board):
        self.board = board

    def __enter__(self):
        self.board.read(f"ip tuntap add {TAP} mode tap && ip addr add {HOST}/24 dev {TAP} &&"
                        f" ip link set {TAP} up")

    def __exit__(self, kind, *_):
        # After anything else the board is gone, or nobody wants it any more.
        if kind is None or issubclass(kind, NotMeasured):
            self.board.run(f"ip link del {TAP}")


def linux(script, **devices):
    return Job(f"console={'hvc0' if 'others' in devices else 'ttyAMA0'} quiet test={script}",
               memory="128M", kernel="/t/Image", initrd="/t/virtio.initrd", device=False, **devices)


def told(board, command, names, before=""):
    """{name: value} of the lines name=value that the guest puts out; all of them, or nothing."""
    done = board.run(f"{before} {command} </dev/null 2>&1", 600)
    found = dict(re.findall(r"^(\w+)=(\d+)$", done.output, re.M))
    if done.status != 0 or not set(names) <= set(found):
        raise NotMeasured(f"exit status {done.status}: {one_line(done.output)}")
    return {name: int(found[name]) for name in names}


def disk(board, contender):
    board.read(MAKE_DISK.format(DISK), 120)
    command = contender.command(board, linux("disk", disk=DISK))
    return told(board, command, ("one_after_the_other", "many_at_a_time", "in_order"))


def net(board, contender):
    with Tap(board):
        command = contender.command(board, linux("net", tap=TAP))
        try:
            return told(board, command, ("sends", "receives"),
                        f"/t/net_ticks {TAP} {FRAMES} >/dev/null 2>&1 & sender=$!;")
        finally:
            board.run("kill $sender 2>/dev/null; wait $sender")


def all_devices(script):
    return linux(script, disk=DISK, tap=TAP, others=True)


def resident(board, contender):
    """KiB of the VMM that are not the guest's memory, after its Linux has used each device."""
    board.read(MAKE_DISK.format(DISK), 120)
    with Tap(board):
        command = contender.command(board, all_devices("all"))
        board.read(f"{{ {command} </dev/null >/tmp/out 2>/tmp/err & vmm=$!; }}")
        try:
            ready = board.run("n=0; until grep -q ready /tmp/out; do sleep 0.1; n=$((n + 1));"
                              " [ $n -lt 600 ] || break; done; grep -q ready /tmp/out", 200).status
            smaps = board.run("sleep 3; cat /proc/$vmm/smaps").output
            status = board.run("cat /proc/$vmm/status").output
            said = board.read("cat /tmp/out /tmp/err")
        finally:
            board.run("kill -TERM $vmm; wait $vmm")
    used = re.findall(r"^(\w+)=used\r?$", said, re.M)
    if ready != 0 or sorted(used) != sorted(USED):
        raise NotMeasured(f"Linux used only {', '.join(used) or 'nothing'}: {one_line(said)}")
    return {"resident": resident_beside(smaps, status, 128 * 1024)}


def restart(board, contender):
    board.read(MAKE_DISK.format(DISK), 120)
    with Tap(board):
        command = f"/t/restart {contender.command(board, all_devices('ready'))}"
        ticks = [told(board, command, ("ticks",))["ticks"] for _ in range(3)]
    return {"stop_to_start": statistics.median(ticks)}


# name: what measures it
MEASUREMENTS = {"disk": disk, "net": net, "resident": resident, "restart": restart}
# What they measure: (what it is called, unit).
FIGURES = {
    "one_after_the_other": ("disk: read of 4 KiB at a random place, one after the other", "ticks"),
    "many_at_a_time": ("disk: the same, of 32 at a time", "ticks"),
    "in_order": ("disk: read of 1 MiB in order", "ticks"),
    "sends": ("network: a frame of 1,514 bytes that the guest sends", "ticks"),
    "receives": ("network: one that the guest receives", "ticks"),
    "resident": ("disk, network, console, rng, sockets: resident beside the guest's 128 MiB", "KiB"),
    "stop_to_start": ("the same: SIGTERM → the next Linux' first line", "ticks"),
}


def measure(board, contender, wanted):
    """{"contender", figure: value…, "errors": {measurement: why}} of one contender."""
    result = {"contender": contender.name}
    for name in wanted:
        try:
            result.update(MEASUREMENTS[name](board, contender))
        except NotMeasured as error:
            result.setdefault("errors", {})[name] = str(error)
    return result
