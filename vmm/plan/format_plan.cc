// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/format_value.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {
namespace {

void AppendNode(std::string& text, const PlannedNode& node, const std::string& start,
                const std::string& name) {
  text += start + name + " {\n";
  for (const PlannedProperty& property : node.properties) {
    text += start + "  " + property.name + FormatValue(property.value) + ";  /* " +
            property.origin + " */\n";
  }
  for (const PlannedNode& child : node.children) AppendNode(text, child, start + "  ", child.name);
  text += start + "}\n";
}

// How much of a region the guest has without an exit, and what its windows allow.
void AppendRegion(std::string& text, const PlannedRegion& region) {
  text += "# region " + ToString(region.guest) + (region.mapped ? " mapped" : " trapped") + "\n";
  for (const OffsetRange& pages : region.trapped_pages) {
    const GuestAddress start{region.guest.start().value + pages.offset};
    text += "#   " + ToString(AddressRange(start, pages.size_bytes)) + " trapped\n";
  }
  for (const AccessWindow& window : region.windows) {
    text += "#   offset " + Hex(window.offset) + " size " + Hex(window.size_bytes) + " " +
            std::string(ToString(window.access)) + "\n";
  }
}

void AppendStep(std::string& text, const ResetStep& step) {
  const std::string value = Hex(step.value);
  switch (step.action) {
    case ResetStep::Action::kDelay:
      text += "# recipe: delay";
      break;
    case ResetStep::Action::kWrite:
      text += "# recipe: write " + value + " to";
      break;
    case ResetStep::Action::kPoll:
      text += "# recipe: poll for " + value + " at";
      break;
  }
  if (step.action != ResetStep::Action::kDelay) {
    text += " region " + std::to_string(step.region) + " offset " + Hex(step.offset) + ", " +
            std::to_string(step.size_bytes) + " bytes, mask " + Hex(step.mask);
  }
  text += step.us == 0 ? "\n" : ", " + std::to_string(step.us) + " us\n";
}

void AppendDevice(std::string& text, const PlannedDevice& device) {
  text += "\n[[platform]]\nhost = " + Quoted(device.host) +
          "\ndma = " + Quoted(ToString(device.dma)) +
          "\nbackend = " + Quoted(ToString(device.backend)) +
          "\nreset = " + Quoted(ToString(device.reset.policy)) + "\n";
  for (const ResetStep& step : device.reset.recipe) AppendStep(text, step);
  if (device.no_iommu) text += "# no IOMMU: VFIO taints the host's kernel\n";
  for (const PlannedRegion& region : device.regions) AppendRegion(text, region);
  if (device.access_bytes != 0) {
    text += "# trapped accesses of " + std::to_string(device.access_bytes) + " bytes only\n";
  }
  for (const PlannedInterrupt& interrupt : device.interrupts) {
    text += "# interrupt SPI " + std::to_string(interrupt.spi.number) +
            (interrupt.trigger == Trigger::kLevel ? " level" : " edge") +
            (interrupt.repeats ? ", listed again" : "") +
            (device.interrupt_path == InterruptPath::kIrqfd ? "" : " through user space") + "\n";
  }
  for (const PlannedClock& clock : device.clocks) {
    text += "# clock " + clock.name + " " + std::to_string(clock.rate_hz) +
            (clock.configured ? " Hz, as 'clocks' says\n" : " Hz\n");
  }
  if (device.resets) {
    text += "# resets that do nothing " + std::to_string(device.resets->count) + " at " +
            ToString(*device.resets->registers) + "\n";
  }
  AppendNode(text, device.node, "# ", "node " + device.node.name);
  for (const PlannedNode& node : device.companions) {
    AppendNode(text, node, "# ", "node " + node.name);
  }
  for (const std::string& line : device.left_out) text += "# left out " + line + "\n";
}

void AppendConsole(std::string& text, const ConsoleConfig& console) {
  text += "\n[[console]]\nkind = " + Quoted(ToString(console.kind)) +
          "\ninput = " + (console.input ? "true" : "false") + "\n";
  if (console.path) text += "path = " + Quoted(console.path->string()) + "\n";
}

void AppendNet(std::string& text, const NetConfig& net) {
  text += "\n[[net]]\n";
  if (net.tap_fds.empty()) text += "tap = " + Quoted(net.tap) + "\n";
  for (std::size_t index = 0; index < net.tap_fds.size(); ++index) {
    text += (index == 0 ? "tap_fd = [" : ", ") + std::to_string(net.tap_fds[index]);
  }
  if (!net.tap_fds.empty()) text += "]\n";
  text += "mac = " + Quoted(ToString(net.mac)) + "\nqueues = " + std::to_string(net.queues) +
          "\nvhost = " + (net.vhost ? "true" : "false") + "\n";
}

// KEY = "VALUE", behind `before`.
void AppendWord(std::string& text, const char* before, std::string_view value) {
  text += before;
  text += Quoted(value);
}

void AppendGpio(std::string& text, const GpioConfig& gpio) {
  AppendWord(text, "\n[[gpio]]\nmodel = ", ToString(gpio.model));
  AppendWord(text, "\nconsumer = ", gpio.consumer);
  text += "\nlines = [\n";
  for (const GpioLineConfig& line : gpio.lines) {
    AppendWord(text, "  { line = ", ToString(line));
    AppendWord(text, ", direction = ", ToString(line.direction));
    AppendWord(text, ", edges = ", ToString(line.edges));
    if (line.bias != GpioBias::kAsIs) AppendWord(text, ", bias = ", ToString(line.bias));
    if (!line.name.empty()) AppendWord(text, ", name = ", line.name);
    text += " },\n";
  }
  text += "]\n";
}

void AppendPl061(std::string& text, const VmConfig& config, const PlannedPl061& device) {
  AppendGpio(text, config.gpios[device.index]);
  text +=
      "# PL061 " + ToString(device.registers) + " SPI " + std::to_string(device.spi.number) + "\n";
}

void AppendVirtio(std::string& text, const VmConfig& config, const PlannedVirtio& device) {
  if (device.kind == PlannedVirtio::Kind::kDisk) {
    const DiskConfig& disk = config.disks[device.index];
    text += "\n[[disk]]\npath = " + Quoted(disk.path.string()) +
            "\nreadonly = " + (disk.readonly ? "true" : "false") +
            "\nqueues = " + std::to_string(disk.queues) +
            "\ndirect = " + (disk.direct ? "true" : "false") + "\n";
    if (!disk.serial.empty()) text += "serial = " + Quoted(disk.serial) + "\n";
  } else if (device.kind == PlannedVirtio::Kind::kVsock) {
    text += "\n[vsock]\ncid = " + std::to_string(config.vsock->cid) + "\n";
  } else if (device.kind == PlannedVirtio::Kind::kConsole) {
    AppendConsole(text, config.consoles[device.index]);
  } else if (device.kind == PlannedVirtio::Kind::kNet) {
    AppendNet(text, config.nets[device.index]);
  } else if (device.kind == PlannedVirtio::Kind::kGpio) {
    AppendGpio(text, config.gpios[device.index]);
  } else {
    text += "\n[rng]\n";
  }
  text += "# virtio " + ToString(device.registers) + " SPI " + std::to_string(device.spi.number) +
          " edge\n";
}

}  // namespace

std::string FormatPlan(const VmPlan& plan) {
  const VmConfig& config = plan.config;
  std::string text =
      "name = " + Quoted(config.name) + "\nrestart = " + Quoted(ToString(config.restart)) + "\n";
  text += "\n[cpu]\ncount = " + std::to_string(config.cpu.count) +
          "\npolicy = " + Quoted(ToString(config.cpu.policy)) + "\n";
  text += "# address bits " + std::to_string(plan.ipa_bits) + "\n";
  const bool v3 = plan.gic.version == GicVersion::kV3;
  text += (v3 ? "# GICv3 distributor " : "# GICv2 distributor ") + ToString(plan.gic.distributor) +
          "\n";
  text += (v3 ? "# GICv3 redistributors " : "# GICv2 CPU interface ") +
          ToString(plan.gic.cpu_interfaces) + "\n";
  text += "# SPIs " + std::to_string(plan.spi_count) + "\n";
  text += "\n[memory]\nsize = " + std::to_string(TotalBytes(plan.ram)) + "\n";
  if (config.memory.identity_file) {
    text += "identity_file = " + Quoted(config.memory.identity_file->string()) + "\n";
  }
  for (const AddressRange& range : plan.ram) text += "# RAM " + ToString(range) + "\n";
  text += "\n[boot]\nkernel = " + Quoted(config.boot.kernel.string()) + "\n# kernel " +
          ToString(AddressRange(plan.boot.kernel, plan.boot.kernel_memory_bytes)) + "\n";
  if (plan.boot.initrd) {
    text += "initrd = " + Quoted(config.boot.initrd->string()) + "\n# initrd " +
            ToString(*plan.boot.initrd) + "\n";
  }
  text += "cmdline = " + Quoted(config.boot.cmdline) + "\n# device tree " +
          ToString(plan.boot.fdt) + "\n";
  for (const ConsoleConfig& console : config.consoles) {
    if (console.kind != ConsoleKind::kPl011) continue;
    AppendConsole(text, console);
    text += "# PL011 " + ToString(plan.console) + " SPI " +
            std::to_string(plan.console_spi.number) + "\n";
  }
  for (const PlannedVirtio& device : plan.virtio) AppendVirtio(text, config, device);
  if (plan.rtc) {
    text += "\n[rtc]\n# PL031 " + ToString(plan.rtc->registers) + " SPI " +
            std::to_string(plan.rtc->spi.number) + "\n";
  }
  for (const PlannedPl061& device : plan.pl061s) AppendPl061(text, config, device);
  for (const PlannedDevice& device : plan.devices) AppendDevice(text, device);
  for (const OverlayFile& overlay : plan.overlays) text += "\n# overlay " + overlay.path + "\n";
  return text;
}

}  // namespace microvm
