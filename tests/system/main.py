# SPDX-License-Identifier: Apache-2.0
"""main.py SUITE LOGS [PATTERN]: runs the system tests of a suite whose names contain the pattern."""

import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import suite as suites  # noqa: E402
from test_files import test_files  # noqa: E402

MODULES = {
    "arm64": ["executable"],
    "system-versal": ["versal_ecu", "versal_everything", "versal_shell", "windows", "versal_lines", "versal_suppliers",
                      "versal_identity", "device_commands", "bad_devices", "bad_host",
                      "plan_output"],
    "system-virt": ["virt_interrupts", "virt_lines", "windows", "virt_backends", "virt_amba",
                    "virt_gic_v2", "virt_groups",
                    "virt_processors", "virt_reboot", "virt_reset", "virt_stop", "virt_supervise",
                    "virt_hostile", "virt_console", "virt_realtime", "system_calls", "device_commands",
                    "plan_output", "bad_command_line", "bad_configuration", "bad_boot_files",
                    "bad_devices", "bad_host", "benchmark"],
    "system-virtio": ["virtio_disk", "virtio_files", "virtio_net", "virtio_gpio", "virtio_vsock", "virtio_hvc", "virt_rtc",
                      "virtio_together"],
    "figures": ["throughput", "figures", "disk_figures", "net_figures"],
}


def artifacts():
    """NAME=PATH of everything the tests put on a board."""
    lines = subprocess.run([pathlib.Path(__file__).parent / "artifacts"], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    return dict(line.split("=", 1) for line in lines.splitlines())


def main(name, logs, pattern=""):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for module in MODULES[name]:
        __import__(module)
    image = artifacts()
    if not suites.matching(name, pattern):
        print(f"  no test of {name} has {pattern!r} in its name; all of them:")
        print("".join(f"    {test.name}\n" for test in suites.matching(name, "")), end="")
        return 1
    run = suites.Run(name, image, test_files(image, name), logs, pattern)
    # Boards that wait leave their processor to another. Of figures, one board counts instructions for both kinds.
    # The disk of a board's host is one file.
    return 1 if run.all({"figures": 2, "system-virtio": 1}.get(name, 3)) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
