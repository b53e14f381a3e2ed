// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/vm_plan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <map>
#include <set>

#include "vmm/memory/address_allocator.h"
#include "vmm/plan/at_key.h"
#include "vmm/plan/boot_placement.h"
#include "vmm/plan/device_node.h"
#include "vmm/plan/dma_signs.h"
#include "vmm/plan/identity_check.h"
#include "vmm/plan/interrupt_placement.h"
#include "vmm/plan/primecell_placement.h"
#include "vmm/plan/property_rules.h"
#include "vmm/plan/ram_placement.h"
#include "vmm/plan/reset_check.h"
#include "vmm/plan/unit_addresses.h"

namespace microvm {
namespace {

constexpr std::uint64_t kBlockBytes = std::uint64_t{2} << 20;  // stage-2 block with 4 KiB pages
constexpr std::uint64_t kSmallestPage = 4096;

// Gathers what conflicts, so that one run shows all of it.
class Conflicts {
 public:
  template <typename Step>
  void Try(Step&& step) {
    try {
      step();
    } catch (const Error& error) {
      messages_ += (messages_.empty() ? "" : "\n") + std::string(error.what());
      if (!error.remedy().empty()) {
        remedies_ += (remedies_.empty() ? "" : "\n") + error.remedy();
      }
    }
  }
  void ThrowIfAny() const {
    if (!messages_.empty()) throw Error(messages_, remedies_);
  }

 private:
  std::string messages_;
  std::string remedies_;
};

void CheckCpus(const VmConfig& config, const HostLimits& limits) {
  if (config.cpu.count > limits.max_vcpus) {
    throw Error("cpu.count: " + std::to_string(config.cpu.count) +
                " vCPUs, but this host's KVM has " + std::to_string(limits.max_vcpus) + " at most");
  }
  std::string missing;
  if (config.cpu.pmu && !limits.pmu) missing += " pmu";
  if (config.cpu.sve && !limits.sve) missing += " sve";
  if (config.cpu.pauth && !limits.pauth) missing += " pauth";
  if (!missing.empty()) {
    throw Error("cpu.features: this host cannot give a guest:" + missing,
                "remove it from cpu.features");
  }
}

// Regions start where the host can map them with the largest blocks they have room for.
std::uint64_t RegionAlignment(std::uint64_t size_bytes, const PlatformLayout& layout) {
  const std::uint64_t natural = std::bit_floor(size_bytes);
  return std::clamp(natural, layout.region_alignment,
                    std::max(kBlockBytes, layout.region_alignment));
}

// Behind an IOMMU that maps nothing a device may try; without one it reaches all of the host.
void CheckDoesNoDma(const DeviceFacts& facts) {
  const auto node = facts.tree->Find(facts.node_path);
  if (facts.config.dma != DmaMode::kNone || !facts.no_iommu || !node) return;
  if (facts.config.ignore_dma_signs) return;
  std::string signs;
  for (const std::string& sign : SignsOfDma(*node)) signs += (signs.empty() ? "" : ", ") + sign;
  if (signs.empty()) return;
  throw Error("'" + facts.config.host +
                  "' has no IOMMU before it, and its node says that it reads and writes memory by "
                  "itself: " +
                  signs,
              "a guest could have '" + facts.config.host +
                  "' overwrite all of the host's memory; if you know that it does no DMA, write "
                  "ignore_dma_signs = true; if the guest may be trusted with that: dma = "
                  "\"identity\"");
}

std::string RegionOwner(const DeviceFacts& facts, std::uint32_t index) {
  return facts.config.host + " region " + std::to_string(index);
}

std::uint32_t LargestHostPhandle(const std::vector<DeviceFacts>& devices) {
  constexpr std::uint32_t kMaximum = UINT32_MAX / 2;
  std::uint32_t largest = 0;
  for (const DeviceFacts& facts : devices) {
    const std::uint32_t phandle = facts.tree->LargestPhandle();
    largest = std::max(largest, phandle);
    if (phandle <= kMaximum) continue;
    throw Error("the host's device tree: " + facts.tree->ByPhandle(phandle)->path() + ": phandle " +
                    Hex(phandle) + " leaves none above it for the guest's nodes",
                "have the host's tree made with phandles up to " + Hex(kMaximum));
  }
  return largest;
}

// Devices may refer to what is below others, such as a PHY on another's MDIO bus.
void AddNodesBelow(const std::vector<DeviceFacts>& devices, PassedNodes& passed,
                   std::uint32_t& next_phandle) {
  for (const DeviceFacts& facts : devices) {
    const auto device = facts.tree->Find(facts.node_path);
    if (!device) continue;
    for (std::size_t at = device->index() + 1; at < device->subtree_end(); ++at) {
      const DtNode node(*facts.tree, at);
      if (node.Property("phandle")) passed.try_emplace(node.path(), next_phandle++);
    }
  }
}

// What is decided of one device so far.
struct Placement {
  std::uint32_t phandle;
  std::vector<std::uint32_t> regions;  // those that cross
  KeptInterrupts interrupts;
};

void ReserveAddress(const DeviceFacts& facts, std::uint32_t region, std::uint64_t address,
                    const HostLimits& limits, AddressAllocator& addresses) {
  const AddressRange range({address}, facts.regions[region].size_bytes);
  if (address % kSmallestPage != 0) {
    throw Error(Hex(address) + " is no multiple of " + Hex(kSmallestPage));
  }
  if (range.last().value >> limits.ipa_bits != 0) {
    throw Error(ToString(range) + " is beyond the " + std::to_string(limits.ipa_bits) +
                " address bits this host gives a guest");
  }
  addresses.Reserve(RegionOwner(facts, region), range);
}

void CheckCount(std::size_t given, const char* what, std::size_t most, const char* of) {
  if (given <= most) return;
  throw Error(std::to_string(given) + what + std::to_string(most) + of);
}

// Takes what the configuration fixes, before anything is placed around it. Throws all that is wrong
// with it.
Placement PlaceFixed(const DeviceFacts& facts, const HostLimits& limits,
                     AddressAllocator& addresses, SpiAllocator& spis, std::uint32_t phandle) {
  Placement placement{phandle, KeptEntries(facts, "reg", facts.regions.size()),
                      FindKeptInterrupts(facts)};
  const PlatformConfig& config = facts.config;
  const std::vector<std::uint32_t>& regions = placement.regions;
  Conflicts conflicts;
  const auto try_at = [&](const char* key, auto&& step) {
    conflicts.Try([&] { AtKey(facts, key, step); });
  };
  try_at("address", [&] {
    CheckCount(config.addresses.size(), " addresses for ", regions.size(), " regions");
  });
  for (std::size_t at = 0; at < std::min(config.addresses.size(), regions.size()); ++at) {
    try_at("address",
           [&] { ReserveAddress(facts, regions[at], config.addresses[at], limits, addresses); });
  }
  try_at("spi", [&] {
    CheckCount(config.spis.size(), " SPIs for ", placement.interrupts.line_count, " interrupts");
  });
  for (const std::uint32_t spi : config.spis) {
    try_at("spi", [&] { spis.Reserve(config.host, spi); });
  }
  conflicts.ThrowIfAny();
  return placement;
}

PlannedDevice PlanDevice(const DeviceFacts& facts, const Placement& placement,
                         const PlatformLayout& layout, AddressAllocator& addresses,
                         SpiAllocator& spis, const PassedNodes& passed,
                         std::uint32_t& next_phandle) {
  const PlatformConfig& config = facts.config;
  PlannedDevice device{};
  device.host = config.host;
  device.dma = config.dma;
  device.backend = facts.backend;
  device.no_iommu = facts.no_iommu;
  CheckDoesNoDma(facts);
  device.interrupt_path = config.interrupts;
  device.reset = config.reset;
  device.phandle = placement.phandle;
  CheckWindowRegions(facts, placement.regions);
  for (std::size_t at = 0; at < placement.regions.size(); ++at) {
    const std::uint32_t index = placement.regions[at];
    const RegionFacts& region = facts.regions[index];
    const AddressRange guest =
        at < config.addresses.size()
            ? AddressRange({config.addresses[at]}, region.size_bytes)
            : addresses.Allocate(RegionOwner(facts, index), region.size_bytes,
                                 RegionAlignment(region.size_bytes, layout));
    ApplyWindows(facts, device.regions.emplace_back(PlannedRegion{guest, region.mappable, index}));
  }
  device.interrupts = PlanInterrupts(facts, placement.interrupts, spis);
  MakeDeviceNode(facts, device, next_phandle, passed);
  device.access_bytes = AccessBytes(device.node);
  if (device.resets) {
    device.resets->registers =
        addresses.Allocate(device.host + " resets", kSmallestPage, layout.region_alignment);
  }
  CheckReset(facts, device.access_bytes);
  return device;
}

// The nodes that every guest has, without their unit addresses (arch/arm64/guest_tree.cc), and
// those that mean something by their place (Devicetree Specification 0.4, section 3).
constexpr std::array<std::string_view, 14> kOwnNodes = {
    "aliases", "chosen", "console-clock", "cpus", "gpio",      "interrupt-controller",
    "memory",  "pmu",    "psci",          "rtc",  "rtc-clock", "serial",
    "timer",   "virtio"};

// Devices with regions have unit addresses of their own; the others may share a name, with each
// other or with a node of ours. The first keeps it.
void MakeNamesUnique(std::vector<PlannedDevice>& devices) {
  std::set<std::string, std::less<>> taken(kOwnNodes.begin(), kOwnNodes.end());
  for (const PlannedDevice& device : devices) {
    for (const PlannedClock& clock : device.clocks) taken.insert(clock.name);
  }
  for (PlannedDevice& device : devices) {
    const std::string name = device.node.name;
    for (unsigned number = 2; !taken.insert(device.node.name).second; ++number) {
      device.node.name = name + "-" + std::to_string(number);
    }
  }
}

PlannedGic PlanGic(const VmConfig& config, const HostLimits& limits, const PlatformLayout& layout) {
  if (limits.gic == GicVersion::kV2) {
    return {limits.gic, layout.gic_v2_distributor, layout.gic_v2_cpu_interface};
  }
  return {limits.gic, layout.gic_distributor,
          AddressRange(layout.gic_redistributors.start(),
                       config.cpu.count * layout.redistributor_bytes)};
}

std::vector<AddressRange> DeviceWindows(const PlatformLayout& layout,
                                        const std::vector<AddressRange>& ram, unsigned ipa_bits) {
  std::vector<AddressRange> windows = layout.device_windows;
  const std::uint64_t above = ram.back().last().value + 1;
  const std::uint64_t end = std::uint64_t{1} << ipa_bits;
  if (above < end) windows.emplace_back(GuestAddress{above}, end - above);
  return windows;
}

// Behind the passed-through devices, whose places thus do not depend on them.
std::vector<PlannedVirtio> PlanVirtio(const VmConfig& config, const PlatformLayout& layout,
                                      AddressAllocator& addresses, SpiAllocator& spis,
                                      std::uint32_t& next_phandle) {
  std::vector<PlannedVirtio> planned;
  const auto add = [&](PlannedVirtio::Kind kind, std::size_t index, const std::string& name) {
    const AddressRange registers = addresses.Allocate(name, kSmallestPage, layout.region_alignment);
    planned.push_back({kind, index, name, registers, spis.Next(name)});
  };
  for (std::size_t index = 0; index < config.disks.size(); ++index) {
    add(PlannedVirtio::Kind::kDisk, index, "disk" + std::to_string(index));
  }
  for (std::size_t index = 0; index < config.nets.size(); ++index) {
    add(PlannedVirtio::Kind::kNet, index, "net" + std::to_string(index));
  }
  if (config.rng.enabled) add(PlannedVirtio::Kind::kRng, 0, "rng");
  if (config.vsock) add(PlannedVirtio::Kind::kVsock, 0, "vsock");
  std::size_t number = 0;
  for (std::size_t index = 0; index < config.consoles.size(); ++index) {
    if (config.consoles[index].kind != ConsoleKind::kHvc) continue;
    add(PlannedVirtio::Kind::kConsole, index, "hvc" + std::to_string(number++));
  }
  for (std::size_t index = 0; index < config.gpios.size(); ++index) {
    if (config.gpios[index].model != GpioModel::kVirtio) continue;
    add(PlannedVirtio::Kind::kGpio, index, "gpio" + std::to_string(index));
    planned.back().phandle = next_phandle++;
  }
  return planned;
}

// The smallest guest address space that holds everything: fewer levels of stage-2 tables.
unsigned IpaBits(const VmPlan& plan) {
  std::uint64_t last = std::max({plan.ram.back().last(), plan.gic.distributor.last(),
                                 plan.gic.cpu_interfaces.last(), plan.console.last()})
                           .value;
  for (const PlannedDevice& device : plan.devices) {
    for (const PlannedRegion& region : device.regions) {
      last = std::max(last, region.guest.last().value);
    }
    if (device.resets) last = std::max(last, device.resets->registers->last().value);
  }
  for (const PlannedVirtio& device : plan.virtio) {
    last = std::max(last, device.registers.last().value);
  }
  if (plan.rtc) last = std::max(last, plan.rtc->registers.last().value);
  for (const PlannedPl061& device : plan.pl061s) {
    last = std::max(last, device.registers.last().value);
  }
  return std::max(32U, static_cast<unsigned>(std::bit_width(last)));
}

}  // namespace

std::uint64_t PredictMpidr(unsigned id) {
  // Sixteen CPUs to a cluster: one ICC_SGI1R_EL1 write reaches a whole target list.
  return (id & 0xfU) | ((id >> 4) & 0xffU) << 8 | std::uint64_t{(id >> 12) & 0xffU} << 16;
}

std::string DeviceLabel(const std::string& host) {
  // The kernel names a platform device ADDRESS.NAME; a label starts with no digit.
  const std::size_t dot = host.find('.');
  std::string label =
      dot == std::string::npos ? host : host.substr(dot + 1) + "_" + host.substr(0, dot);
  for (char& c : label) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return std::isdigit(static_cast<unsigned char>(label.front())) ? "_" + label : label;
}

VmPlan MakePlan(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                const BootFacts& boot, const HostLimits& limits, const PlatformLayout& usual) {
  const std::vector<AddressRange> ram = PlaceRam(config, devices, limits, usual);
  const PlatformLayout layout = LayoutAround(ram, config, limits, usual);
  Conflicts conflicts;
  conflicts.Try([&] { CheckCpus(config, limits); });
  std::optional<PlannedBoot> planned_boot;
  conflicts.Try([&] { planned_boot = PlanBoot(boot, ram, layout); });

  AddressAllocator addresses(DeviceWindows(layout, ram, limits.ipa_bits));
  for (const AddressRange& range : ram) addresses.Reserve("the guest's RAM", range);
  const PlannedGic gic = PlanGic(config, limits, layout);
  addresses.Reserve("the GIC's distributor", gic.distributor);
  addresses.Reserve(
      gic.version == GicVersion::kV2 ? "the GIC's CPU interface" : "the GIC's redistributors",
      gic.cpu_interfaces);
  addresses.Reserve("the console", layout.console);
  SpiAllocator spis(layout.spi_maximum);
  std::uint32_t host_phandles = 0;
  conflicts.Try([&] { host_phandles = LargestHostPhandle(devices); });
  std::uint32_t next_phandle = Number(host_phandles, Phandle::kFirstFree);
  PassedNodes passed;
  std::vector<std::optional<Placement>> placements(devices.size());
  for (std::size_t index = 0; index < devices.size(); ++index) {
    const std::uint32_t phandle = next_phandle++;
    passed[devices[index].node_path] = phandle;
    conflicts.Try(
        [&] { placements[index] = PlaceFixed(devices[index], limits, addresses, spis, phandle); });
  }
  if (devices.size() > 1) AddNodesBelow(devices, passed, next_phandle);
  std::vector<PlannedDevice> planned;
  for (std::size_t index = 0; index < devices.size(); ++index) {
    if (!placements[index]) continue;
    conflicts.Try([&] { CheckIdentity(devices[index], ram); });
    conflicts.Try([&] {
      planned.push_back(PlanDevice(devices[index], *placements[index], layout, addresses, spis,
                                   passed, next_phandle));
      CorrectUnitAddresses(planned.back(), devices[index].node_path, !boot.overlays.empty());
    });
  }
  std::vector<PlannedVirtio> virtio;
  conflicts.Try([&] { virtio = PlanVirtio(config, layout, addresses, spis, next_phandle); });
  std::vector<PlannedPl061> pl061s;
  conflicts.Try([&] { pl061s = PlanPl061s(config, layout, addresses, spis, next_phandle); });
  std::optional<PlannedRtc> rtc;
  conflicts.Try([&] { rtc = PlanRtc(config, layout, addresses, spis, next_phandle); });
  if (spis.count() > layout.spi_maximum) {
    conflicts.Try([&] {
      throw Error("the devices have " + std::to_string(spis.count()) +
                  " interrupts, a guest's GIC has " + std::to_string(layout.spi_maximum) + " SPIs");
    });
  }
  conflicts.ThrowIfAny();
  MakeNamesUnique(planned);

  std::vector<std::uint64_t> mpidrs;
  for (unsigned id = 0; id < config.cpu.count; ++id) mpidrs.push_back(PredictMpidr(id));
  VmPlan plan{.config = config,
              .ipa_bits = 0,
              .ram = ram,
              .mpidrs = std::move(mpidrs),
              .gic = gic,
              .spi_count = (spis.count() + 31) / 32 * 32,
              .console = layout.console,
              .console_spi = Spi{0},
              .devices = std::move(planned),
              .virtio = std::move(virtio),
              .rtc = rtc,
              .pl061s = std::move(pl061s),
              .boot = *planned_boot,
              .overlays = boot.overlays,
              .host_phandles = host_phandles};
  plan.ipa_bits = IpaBits(plan);
  return plan;
}

}  // namespace microvm
