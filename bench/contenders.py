# SPDX-License-Identifier: Apache-2.0
"""What is compared: ways to run the same guest with the same device on the emulated host."""

import shlex
from dataclasses import dataclass

from host import PL031, configuration

GUEST = "/t/guest.bin"


@dataclass(frozen=True)
class Job:
    """A guest to run."""

    cmdline: str
    cpus: int = 1
    memory: str = "32M"
    kernel: str = GUEST
    initrd: str = None
    device: bool = True


class Microvm:
    """microvm, with more lines for the device or for the [cpu] table."""

    executable = "/bin/microvm"

    def __init__(self, name, title, device_line=None, cpu=""):
        self.name, self.title = name, title
        self._platform = (PL031, "iommu", *([device_line] if device_line else []))
        self._cpu = cpu

    def command(self, board, job):
        """The command that runs it on the board, its console on standard output."""
        board.write("/tmp/vm.toml", configuration(
            job.cmdline, cpus=job.cpus, memory=job.memory, kernel=job.kernel, initrd=job.initrd,
            platform=(self._platform,) if job.device else (), cpu=self._cpu))
        return "microvm --config /tmp/vm.toml"


class Qemu:
    """QEMU's vfio-platform. The device is presented as the one kind of device that needs nothing but
    registers and interrupts; the guest looks for that."""

    name, title = "qemu", "QEMU 10.0, vfio-platform"
    executable = "/opt/qemu/qemu-system-aarch64"

    def command(self, board, job):
        words = [self.executable, "-M", "virt,gic-version=host", "-accel", "kvm", "-cpu", "host",
                 "-smp", str(job.cpus), "-m", job.memory, "-nodefaults", "-display", "none",
                 "-serial", "stdio", "-kernel", job.kernel]
        cmdline = job.cmdline
        if job.initrd:
            words += ["-initrd", job.initrd]
        if job.device:
            words += ["-device", f"vfio-calxeda-xgmac,host={PL031}"]
            cmdline += " device=calxeda,hb-xgmac"
        return shlex.join([*words, "-append", cmdline])


ON_HOST = (
    Microvm("microvm", "microvm"),
    Microvm("microvm-fifo", "microvm, vCPUs SCHED_FIFO", cpu='policy = "fifo"\npriority = 50'),
    Microvm("userspace", "microvm, interrupts through user space",
            device_line='interrupts = "userspace"'),
    Qemu(),
)
BARE = "bare"
TITLES = {BARE: "bare board", **{contender.name: contender.title for contender in ON_HOST}}
