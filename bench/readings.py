# SPDX-License-Identifier: Apache-2.0
"""What the guest said it measured."""

# The figures of the guest (tests/guest/README.md) that are told, in this order.
FIGURES = {
    "raise_to_vector": "raise → exception vector",
    "raise_to_handler": "raise → handler",
    "handler_to_loop": "handler → EOI → back",
    "raise_to_eoi_to_loop": "raise → handler → EOI → back",
    "raise_to_handler_asleep": "raise → handler, guest in WFI",
    "timer_spinning": "timer deadline → handler, guest spinning",
    "timer_asleep": "timer deadline → handler, guest in WFI",
    "ipi_to_handler": "IPI → handler of a vCPU in WFI",
    "ipi_and_back": "IPI there and back",
    "device_read": "register of the device, read",
    "trapped_read": "trapped read (PL011)",
    "gic_read": "GIC register, read",
    "hypercall": "hypercall (PSCI_VERSION)",
}
PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")


class GuestFailed(Exception):
    """The guest did not get to its end."""


def parse(output):
    """{name: {"p50": …, …, "histogram": [[ticks, count], …]}} of the guest's console."""
    figures = {}
    last = ""
    for line in output.replace("\r", "").splitlines():
        kind, _, rest = line.partition(" ")
        words = rest.split()
        last = line if line.startswith("guest: ") else last
        if kind == "latency" and rest.startswith("name="):
            pairs = dict(word.split("=", 1) for word in words)
            figures[pairs["name"]] = {key: int(value) for key, value in pairs.items()
                                      if key not in ("name", "unit")}
        elif kind == "histogram":
            name = words[0].split("=", 1)[1]
            figures[name]["histogram"] = [[int(part) for part in word.split(":")]
                                          for word in words[1:]]
    if not last.startswith("guest: ok"):
        raise GuestFailed(last or "the guest said nothing at its end")
    return {name: figures[name] for name in FIGURES if name in figures}
