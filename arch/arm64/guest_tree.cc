// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/guest_tree.h"

#include "vmm/fdt/fdt_writer.h"
#include "vmm/fdt/overlay.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

// bindings/interrupt-controller/arm,gic-v3.yaml (and arm,gic.yaml): type and flags of a specifier.
constexpr std::uint32_t kSpi = 0;
constexpr std::uint32_t kPpi = 1;
constexpr std::uint32_t kEdgeRising = 1;
constexpr std::uint32_t kLevelHigh = 4;

constexpr std::uint32_t kPrimeCellClockHz = 24'000'000;
constexpr std::size_t kKaslrSeedBytes = 8;
constexpr std::uint32_t kPmuPpi = 7;

std::uint32_t Number(const VmPlan& plan, Phandle phandle) {
  return Number(plan.host_phandles, phandle);
}

void WriteChosen(FdtWriter& fdt, const VmPlan& plan, BootSeed seed) {
  fdt.Node("chosen", [&] {
    fdt.String("bootargs", plan.config.boot.cmdline);
    if (HasPl011(plan.config.consoles)) {
      fdt.String("stdout-path", "/" + UnitName("serial", plan.console.start().value));
    }
    if (plan.boot.initrd) {
      fdt.Cells64("linux,initrd-start", {plan.boot.initrd->start().value});
      fdt.Cells64("linux,initrd-end", {plan.boot.initrd->last().value + 1});
    }
    if (seed.size() > kKaslrSeedBytes) {
      fdt.Bytes("kaslr-seed", seed.first(kKaslrSeedBytes));
      fdt.Bytes("rng-seed", seed.subspan(kKaslrSeedBytes));
    }
  });
}

void WriteMemory(FdtWriter& fdt, const std::vector<AddressRange>& ram) {
  std::vector<std::uint64_t> reg;
  for (const AddressRange& range : ram) {
    reg.insert(reg.end(), {range.start().value, range.size_bytes()});
  }
  fdt.Node(UnitName("memory", ram.front().start().value), [&] {
    fdt.String("device_type", "memory");
    fdt.Cells64("reg", reg);
  });
}

void WriteCpus(FdtWriter& fdt, const VmPlan& plan) {  // bindings/arm/cpus.yaml
  fdt.Node("cpus", [&] {
    fdt.Cells("#address-cells", {1});
    fdt.Cells("#size-cells", {0});
    for (const std::uint64_t mpidr : plan.mpidrs) {
      fdt.Node(UnitName("cpu", mpidr), [&] {
        fdt.String("device_type", "cpu");
        fdt.String("compatible", "arm,armv8");
        fdt.Cells("reg", {static_cast<std::uint32_t>(mpidr)});
        fdt.String("enable-method", "psci");
      });
    }
  });
}

void WritePsci(FdtWriter& fdt) {  // bindings/arm/psci.yaml
  fdt.Node("psci", [&] {
    fdt.Strings("compatible", {"arm,psci-1.0", "arm,psci-0.2"});
    fdt.String("method", "hvc");
  });
}

// Bits 15:8 of a PPI's flags say which CPUs it is wired to, with a GICv2 only
// (bindings/interrupt-controller/arm,gic.yaml).
std::uint32_t PpiFlags(const VmPlan& plan) {
  if (plan.gic.version == GicVersion::kV3) return kLevelHigh;
  return ((1U << plan.mpidrs.size()) - 1) << 8 | kLevelHigh;
}

void WriteTimer(FdtWriter& fdt, const VmPlan& plan) {  // bindings/timer/arm,arch_timer.yaml
  fdt.Node("timer", [&] {
    fdt.String("compatible", "arm,armv8-timer");
    // Secure, non-secure, virtual and hypervisor timer.
    const std::uint32_t flags = PpiFlags(plan);
    fdt.Cells("interrupts", {kPpi, 13, flags, kPpi, 14, flags, kPpi, 11, flags, kPpi, 10, flags});
    fdt.Flag("always-on");
  });
}

void WritePmu(FdtWriter& fdt, const VmPlan& plan) {  // bindings/arm/pmu.yaml
  fdt.Node("pmu", [&] {
    fdt.String("compatible", "arm,armv8-pmuv3");
    fdt.Cells("interrupts", {kPpi, kPmuPpi, PpiFlags(plan)});
  });
}

// bindings/interrupt-controller/arm,gic-v3.yaml and arm,gic.yaml
void WriteGic(FdtWriter& fdt, const VmPlan& plan) {
  const PlannedGic& gic = plan.gic;
  fdt.Node(UnitName("interrupt-controller", gic.distributor.start().value), [&] {
    fdt.String("compatible", gic.version == GicVersion::kV3 ? "arm,gic-v3" : "arm,gic-400");
    fdt.Cells64("reg", {gic.distributor.start().value, gic.distributor.size_bytes(),
                        gic.cpu_interfaces.start().value, gic.cpu_interfaces.size_bytes()});
    fdt.Flag("interrupt-controller");
    fdt.Cells("#interrupt-cells", {3});
    fdt.Cells("#address-cells", {0});
    fdt.Cells("phandle", {Number(plan, Phandle::kGic)});
  });
}

void WriteFixedClock(FdtWriter& fdt, const std::string& name, std::uint32_t phandle,
                     std::uint32_t rate_hz) {  // bindings/clock/fixed-clock.yaml
  fdt.Node(name, [&] {
    fdt.String("compatible", "fixed-clock");
    fdt.Cells("#clock-cells", {0});
    fdt.Cells("clock-frequency", {rate_hz});
    fdt.Cells("phandle", {phandle});
  });
}

void WriteConsole(FdtWriter& fdt, const VmPlan& plan) {  // bindings/serial/pl011.yaml
  const std::uint32_t clock = Number(plan, Phandle::kConsoleClock);
  WriteFixedClock(fdt, "console-clock", clock, kPrimeCellClockHz);
  fdt.Node(UnitName("serial", plan.console.start().value), [&] {
    fdt.Strings("compatible", {"arm,pl011", "arm,primecell"});
    fdt.Cells64("reg", {plan.console.start().value, plan.console.size_bytes()});
    fdt.Cells("interrupts", {kSpi, plan.console_spi.number, kLevelHigh});
    fdt.Cells("clocks", {clock, clock});
    fdt.Strings("clock-names", {"uartclk", "apb_pclk"});
    if (!plan.overlays.empty()) fdt.Cells("phandle", {Number(plan, Phandle::kConsole)});
  });
}

void WriteRtc(FdtWriter& fdt, const PlannedRtc& rtc) {  // bindings/rtc/arm,pl031.yaml
  WriteFixedClock(fdt, "rtc-clock", rtc.clock_phandle, kPrimeCellClockHz);
  fdt.Node(UnitName("rtc", rtc.registers.start().value), [&] {
    fdt.Strings("compatible", {"arm,pl031", "arm,primecell"});
    fdt.Cells64("reg", {rtc.registers.start().value, rtc.registers.size_bytes()});
    fdt.Cells("interrupts", {kSpi, rtc.spi.number, kLevelHigh});
    fdt.Cells("clocks", {rtc.clock_phandle});
    fdt.String("clock-names", "apb_pclk");
  });
}

void WriteResets(FdtWriter& fdt,
                 const PlannedResets& resets) {  // bindings/reset/hisilicon,hi3660-reset.yaml
  const std::uint64_t start = resets.registers->start().value;
  fdt.Node(UnitName("syscon", start), [&] {  // bindings/mfd/syscon.yaml
    fdt.String("compatible", "syscon");
    fdt.Cells64("reg", {start, resets.registers->size_bytes()});
    fdt.Cells("phandle", {resets.syscon_phandle});
  });
  fdt.Node("reset-controller-" + std::to_string(resets.controller_phandle), [&] {
    fdt.String("compatible", "hisilicon,hi3660-reset");
    fdt.Cells("hisilicon,rst-syscon", {resets.syscon_phandle});
    fdt.Cells("#reset-cells", {2});
    fdt.Cells("phandle", {resets.controller_phandle});
  });
}

// What other nodes refer to a GPIO controller by.
void WriteGpioController(FdtWriter& fdt, const VmPlan& plan, std::uint32_t phandle) {
  fdt.Flag("gpio-controller");
  fdt.Cells("#gpio-cells", {2});
  fdt.Flag("interrupt-controller");
  fdt.Cells("#address-cells", {0});
  fdt.Cells("#interrupt-cells", {2});
  if (!plan.overlays.empty()) fdt.Cells("phandle", {phandle});
}

void WritePl061(FdtWriter& fdt, const VmPlan& plan,
                const PlannedPl061& device) {  // bindings/gpio/pl061-gpio.yaml
  const std::uint64_t start = device.registers.start().value;
  std::vector<std::string_view> names;
  for (const GpioLineConfig& line : plan.config.gpios[device.index].lines) {
    names.push_back(line.name);
  }
  WriteFixedClock(fdt, device.name + "-clock", device.clock_phandle, kPrimeCellClockHz);
  fdt.Node(UnitName("gpio", start), [&] {
    fdt.Strings("compatible", {"arm,pl061", "arm,primecell"});
    fdt.Cells64("reg", {start, device.registers.size_bytes()});
    fdt.Cells("interrupts", {kSpi, device.spi.number, kLevelHigh});
    fdt.Cells("clocks", {device.clock_phandle});
    fdt.String("clock-names", "apb_pclk");
    fdt.Strings("gpio-line-names", names);
    WriteGpioController(fdt, plan, device.phandle);
  });
}

void WriteVirtio(FdtWriter& fdt, const VmPlan& plan,
                 const PlannedVirtio& device) {  // bindings/virtio/mmio.yaml
  const std::uint64_t start = device.registers.start().value;
  fdt.Node(UnitName("virtio", start), [&] {
    fdt.String("compatible", "virtio,mmio");
    fdt.Cells64("reg", {start, device.registers.size_bytes()});
    fdt.Cells("interrupts", {kSpi, device.spi.number, kEdgeRising});
    fdt.Flag("dma-coherent");
    if (device.kind != PlannedVirtio::Kind::kGpio) return;
    fdt.Node("gpio", [&] {  // bindings/gpio/gpio-virtio.yaml
      fdt.String("compatible", "virtio,device29");
      WriteGpioController(fdt, plan, device.phandle);
    });
  });
}

void WriteNode(FdtWriter& fdt, const PlannedNode& node) {
  fdt.Node(node.name, [&] {
    for (const PlannedProperty& property : node.properties)
      fdt.Bytes(property.name, property.value);
    for (const PlannedNode& child : node.children) WriteNode(fdt, child);
  });
}

void WriteDevice(FdtWriter& fdt, const PlannedDevice& device) {
  for (const PlannedClock& clock : device.clocks) {
    WriteFixedClock(fdt, clock.name, clock.phandle, static_cast<std::uint32_t>(clock.rate_hz));
  }
  if (device.resets) WriteResets(fdt, *device.resets);
  for (const PlannedNode& companion : device.companions) WriteNode(fdt, companion);
  WriteNode(fdt, device.node);
}

// What overlays call the nodes.
void WriteSymbols(FdtWriter& fdt, const VmPlan& plan) {
  fdt.Node("__symbols__", [&] {
    fdt.String("gic", "/" + UnitName("interrupt-controller", plan.gic.distributor.start().value));
    if (HasPl011(plan.config.consoles)) {
      fdt.String("uart0", "/" + UnitName("serial", plan.console.start().value));
    }
    for (const PlannedVirtio& device : plan.virtio) {
      if (device.kind != PlannedVirtio::Kind::kGpio) continue;
      fdt.String(device.name, "/" + UnitName("virtio", device.registers.start().value) + "/gpio");
    }
    for (const PlannedPl061& device : plan.pl061s) {
      fdt.String(device.name, "/" + UnitName("gpio", device.registers.start().value));
    }
    for (const PlannedDevice& device : plan.devices) {
      fdt.String(DeviceLabel(device.host), "/" + device.node.name);
    }
  });
}

}  // namespace

std::vector<std::byte> BuildGuestTree(const VmPlan& plan, BootSeed seed) {
  return BuildGuestTree(plan, seed, plan.overlays.size());
}

std::vector<std::byte> BuildGuestTree(const VmPlan& plan, BootSeed seed, std::size_t overlays) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.String("compatible", "linux,dummy-virt");
    fdt.String("model", "microvm");
    fdt.Cells("#address-cells", {2});
    fdt.Cells("#size-cells", {2});
    fdt.Cells("interrupt-parent", {Number(plan, Phandle::kGic)});
    WriteChosen(fdt, plan, seed);
    WriteMemory(fdt, plan.ram);
    WriteCpus(fdt, plan);
    WritePsci(fdt);
    WriteTimer(fdt, plan);
    if (plan.config.cpu.pmu) WritePmu(fdt, plan);
    WriteGic(fdt, plan);
    if (HasPl011(plan.config.consoles)) WriteConsole(fdt, plan);
    for (const PlannedVirtio& device : plan.virtio) WriteVirtio(fdt, plan, device);
    if (plan.rtc) WriteRtc(fdt, *plan.rtc);
    for (const PlannedPl061& device : plan.pl061s) WritePl061(fdt, plan, device);
    for (const PlannedDevice& device : plan.devices) WriteDevice(fdt, device);
    if (!plan.overlays.empty()) WriteSymbols(fdt, plan);
  });
  std::vector<std::byte> blob = fdt.Finish();
  OverlayMerger merger;
  for (const OverlayFile& overlay : std::span(plan.overlays).first(overlays)) {
    blob = merger.Merge(blob, overlay.path, overlay.blob);
  }
  if (blob.size() > plan.boot.fdt.size_bytes()) {
    throw Error("the guest's device tree has " + std::to_string(blob.size()) +
                " bytes; Linux takes " + std::to_string(plan.boot.fdt.size_bytes()) + " at most");
  }
  return blob;
}

}  // namespace microvm
