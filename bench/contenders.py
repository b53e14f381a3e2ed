# SPDX-License-Identifier: Apache-2.0
"""What is compared: ways to run the same guest with the same device on the emulated host."""

import shlex
from dataclasses import dataclass

from host import PL031, configuration

GUEST = "/t/guest.bin"
CID = 3  # of a guest's sockets


@dataclass(frozen=True)
class Job:
    """A guest to run: with the passed-through device, or with virtio devices."""

    cmdline: str
    cpus: int = 1
    memory: str = "32M"
    kernel: str = GUEST
    initrd: str = None
    device: bool = True
    disk: str = None  # a raw file
    tap: str = None
    others: bool = False  # random numbers, sockets, and the console: all by virtio


class Microvm:
    """microvm, with another line for the device or the network, or with its real-time settings."""

    executable = "/bin/microvm"

    def __init__(self, name, title, device_line=None, net="", realtime=False):
        self.name, self.title = name, title
        self._platform = (PL031, "iommu", *([device_line] if device_line else []))
        self._net, self._realtime = net, realtime

    def command(self, board, job, path="/tmp/vm.toml"):
        """The command that runs it on the board, its console on standard output."""
        cpu = (f'affinity = {[0] * job.cpus}\npolicy = "fifo"\npriority = 50\n[realtime]'
               if self._realtime else "")
        text = configuration(
            job.cmdline, cpus=job.cpus, memory=job.memory, kernel=job.kernel, initrd=job.initrd,
            platform=(self._platform,) if job.device else (), cpu=cpu)
        if job.disk:
            text += f'[[disk]]\npath = "{job.disk}"\n'
        if job.tap:
            text += f'[[net]]\ntap = "{job.tap}"\n{self._net}\n'
        if job.others:
            text += f'[rng]\n[vsock]\ncid = {CID}\n[[console]]\nkind = "hvc"\n'
        board.write(path, text)
        return f"microvm --config {path}"


class Qemu:
    """QEMU's vfio-platform and its virtio devices.

    The device is presented as the one kind of device that needs nothing but registers and
    interrupts; the guest looks for that. Virtio devices are modern MMIO ones, as the guest's kernel
    has no PCI; the disk's cache and its interface to the kernel are those it is fastest with."""

    executable = "/opt/qemu/qemu-system-aarch64"

    def __init__(self, name, title, vhost=False, thread=False):
        self.name, self.title = name, title
        self._vhost, self._thread = vhost, thread

    def command(self, _board, job):
        """The command that runs it on the board, its console on standard output."""
        words = [self.executable, "-M", "virt,gic-version=host", "-accel", "kvm", "-cpu", "host",
                 "-smp", str(job.cpus), "-m", job.memory, "-nodefaults", "-display", "none",
                 "-global", "virtio-mmio.force-legacy=false", "-kernel", job.kernel]
        cmdline = job.cmdline
        if job.initrd:
            words += ["-initrd", job.initrd]
        if job.device:
            words += ["-device", f"vfio-calxeda-xgmac,host={PL031}"]
            cmdline += " device=calxeda,hb-xgmac"
        words += [*self._disk(job), *self._net(job), *self._others(job)]
        return shlex.join([*words, "-append", cmdline])

    def _disk(self, job):
        if not job.disk:
            return []
        thread = ["-object", "iothread,id=thread0"] if self._thread else []
        return [*thread, "-drive",
                f"file={job.disk},format=raw,if=none,id=disk0,cache=writeback,aio=io_uring", "-device",
                "virtio-blk-device,drive=disk0" + (",iothread=thread0" if thread else "")]

    def _net(self, job):
        if not job.tap:
            return []
        return ["-netdev", f"tap,id=net0,ifname={job.tap},script=no,downscript=no,"
                f"vhost={'on' if self._vhost else 'off'}", "-device", "virtio-net-device,netdev=net0"]

    @staticmethod
    def _others(job):
        if not job.others:
            return ["-serial", "stdio"]
        return ["-device", "virtio-rng-device", "-device", f"vhost-vsock-device,guest-cid={CID}",
                "-chardev", "stdio,id=console0", "-device", "virtio-serial-device",
                "-device", "virtconsole,chardev=console0"]


class Kvmtool:
    """kvmtool, which has virtio devices and passes no platform devices through."""

    name, title = "kvmtool", "kvmtool"
    executable = "/opt/kvmtool/lkvm"

    def command(self, _board, job):
        """The command that runs it on the board, its console on standard output."""
        words = [self.executable, "run", "--name", "vm", "--cpus", str(job.cpus), "--mem", job.memory,
                 "--virtio-transport", "mmio", "--kernel", job.kernel, "--initrd", job.initrd,
                 "--console", "virtio"]  # its UART is none that the guest's kernel knows
        if job.disk:
            words += ["--disk", job.disk]
        words += ["--network", f"mode=tap,tapif={job.tap},script=none" if job.tap else "mode=none"]
        if job.others:
            words += ["--rng", "--vsock", str(CID)]
        cmdline = job.cmdline.replace("console=ttyAMA0", "console=hvc0")
        return shlex.join([*words, "--params", cmdline])


MICROVM = Microvm("microvm", "microvm")
QEMU = Qemu("qemu", "QEMU 10.0")
ON_HOST = (
    MICROVM,
    Microvm("microvm-fifo", "microvm, real-time", realtime=True),
    Microvm("userspace", "microvm, interrupts through user space",
            device_line='interrupts = "userspace"'),
    QEMU,
)
# Each with what of virtio.MEASUREMENTS makes a difference to it.
VIRTIO = (
    (MICROVM, ("disk", "net", "resident", "restart")),
    (Microvm("microvm-vhost", "microvm, vhost", net="vhost = true"), ("net",)),
    (QEMU, ("disk", "net", "resident", "restart")),
    (Qemu("qemu-iothread", "QEMU, disk's own thread", thread=True), ("disk",)),
    (Qemu("qemu-vhost", "QEMU, vhost", vhost=True), ("net",)),
    (Kvmtool(), ("disk", "net", "resident", "restart")),
)
BARE = "bare"
TITLES = {BARE: "bare board", **{contender.name: contender.title for contender in ON_HOST},
          **{contender.name: contender.title for contender, _ in VIRTIO}}
