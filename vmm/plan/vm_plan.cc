// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/vm_plan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <set>

#include "vmm/memory/address_allocator.h"
#include "vmm/plan/device_node.h"
#include "vmm/plan/dma_signs.h"
#include "vmm/plan/ram_placement.h"
#include "vmm/plan/reset_check.h"

namespace microvm {
namespace {

constexpr std::uint64_t kBlockBytes = std::uint64_t{2} << 20;  // stage-2 block with 4 KiB pages
constexpr std::uint64_t kPageBytes = 65536;                    // the largest guest page

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
  if (!facts.no_iommu || facts.config.ignore_dma_signs || !node) return;
  std::string signs;
  for (const std::string& sign : SignsOfDma(*node)) signs += (signs.empty() ? "" : ", ") + sign;
  if (signs.empty()) return;
  throw Error("'" + facts.config.host +
                  "' has no IOMMU before it, and its node says that it reads and writes memory by "
                  "itself: " +
                  signs,
              "a guest could have '" + facts.config.host +
                  "' overwrite all of the host's memory; if you know that it does no DMA, write "
                  "ignore_dma_signs = true");
}

PlannedDevice PlanDevice(const DeviceFacts& facts, const PlatformLayout& layout,
                         AddressAllocator& addresses, std::uint32_t& next_spi,
                         std::uint32_t& next_phandle) {
  PlannedDevice device{};
  device.host = facts.config.host;
  device.dma = facts.config.dma;
  device.backend = facts.backend;
  device.no_iommu = facts.no_iommu;
  CheckDoesNoDma(facts);
  device.interrupt_path = facts.config.interrupts;
  device.reset = facts.config.reset;
  for (std::size_t index = 0; index < facts.regions.size(); ++index) {
    const RegionFacts& region = facts.regions[index];
    const std::string owner = device.host + " region " + std::to_string(index);
    device.regions.push_back(
        {addresses.Allocate(owner, region.size_bytes, RegionAlignment(region.size_bytes, layout)),
         region.mappable});
  }
  for (const InterruptFacts& interrupt : facts.interrupts) {
    device.interrupts.push_back(
        {Spi{next_spi++}, interrupt.automasked ? Trigger::kLevel : Trigger::kEdge});
  }
  MakeDeviceNode(facts, device, next_phandle);
  CheckReset(facts);
  return device;
}

// The nodes that every guest has, without their unit addresses (arch/arm64/guest_tree.cc), and
// those that mean something by their place (Devicetree Specification 0.4, section 3).
constexpr std::array<std::string_view, 10> kOwnNodes = {
    "aliases", "chosen", "console-clock", "cpus",   "interrupt-controller",
    "memory",  "pmu",    "psci",          "serial", "timer"};

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

// Kernel, then the tree, then the initrd, each from a new block: all of it within the kernel's
// first gigabyte whatever the size of RAM (Documentation/arch/arm64/booting.rst).
PlannedBoot PlanBoot(const BootFacts& facts, const AddressRange& ram,
                     const PlatformLayout& layout) {
  const std::uint64_t kernel = ram.start().value + facts.text_offset;
  const auto kernel_end = AlignUp(kernel + facts.kernel_memory_bytes, kBlockBytes);
  const std::uint64_t needed = facts.text_offset + facts.kernel_memory_bytes +
                               layout.fdt_bytes_maximum + facts.initrd_bytes + 2 * kBlockBytes;
  const auto throw_no_room = [&] {
    throw Error("the boot files do not fit in the guest's memory: " + std::to_string(needed >> 20) +
                    " MiB are needed (kernel with its BSS " +
                    std::to_string(facts.kernel_memory_bytes >> 20) + " MiB, initrd " +
                    std::to_string(facts.initrd_bytes >> 20) + " MiB), memory.size is " +
                    std::to_string(ram.size_bytes() >> 20) + " MiB",
                "make memory.size larger");
  };
  // A wrap or an absurd header shows as a range that is not inside RAM.
  if (facts.kernel_memory_bytes > ram.size_bytes() || facts.initrd_bytes > ram.size_bytes() ||
      facts.text_offset > ram.size_bytes() || !kernel_end ||
      !ram.Contains({*kernel_end}, layout.fdt_bytes_maximum)) {
    throw_no_room();
  }
  PlannedBoot boot{.kernel = {kernel},
                   .kernel_memory_bytes = facts.kernel_memory_bytes,
                   .kernel_compressed = facts.kernel_compressed,
                   .initrd = std::nullopt,
                   .fdt = AddressRange({*kernel_end}, layout.fdt_bytes_maximum)};
  if (facts.initrd_bytes > 0) {
    const auto start = AlignUp(boot.fdt.last().value + 1, kPageBytes);
    if (!start || !ram.Contains({*start}, facts.initrd_bytes)) throw_no_room();
    boot.initrd = AddressRange({*start}, facts.initrd_bytes);
  }
  return boot;
}

std::vector<AddressRange> DeviceWindows(const PlatformLayout& layout, const AddressRange& ram,
                                        unsigned ipa_bits) {
  std::vector<AddressRange> windows = layout.device_windows;
  const std::uint64_t above = ram.last().value + 1;
  const std::uint64_t end = std::uint64_t{1} << ipa_bits;
  if (above < end) windows.emplace_back(GuestAddress{above}, end - above);
  return windows;
}

// The smallest guest address space that holds everything: fewer levels of stage-2 tables.
unsigned IpaBits(const AddressRange& ram, const std::vector<PlannedDevice>& devices) {
  std::uint64_t last = ram.last().value;
  for (const PlannedDevice& device : devices) {
    for (const PlannedRegion& region : device.regions) {
      last = std::max(last, region.guest.last().value);
    }
  }
  return std::max(32U, static_cast<unsigned>(std::bit_width(last)));
}

}  // namespace

std::uint64_t PredictMpidr(unsigned id) {
  // Sixteen CPUs to a cluster: one ICC_SGI1R_EL1 write reaches a whole target list.
  return (id & 0xfU) | ((id >> 4) & 0xffU) << 8 | std::uint64_t{(id >> 12) & 0xffU} << 16;
}

VmPlan MakePlan(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                const BootFacts& boot, const HostLimits& limits, const PlatformLayout& layout) {
  const AddressRange ram = PlaceRam(config, devices, limits, layout);
  Conflicts conflicts;
  conflicts.Try([&] { CheckCpus(config, limits); });
  std::optional<PlannedBoot> planned_boot;
  conflicts.Try([&] { planned_boot = PlanBoot(boot, ram, layout); });

  AddressAllocator addresses(DeviceWindows(layout, ram, limits.ipa_bits));
  std::uint32_t next_spi = 1;  // 0 is the console's
  auto next_phandle = static_cast<std::uint32_t>(Phandle::kFirstFree);
  std::vector<PlannedDevice> planned;
  for (const DeviceFacts& facts : devices) {
    conflicts.Try(
        [&] { planned.push_back(PlanDevice(facts, layout, addresses, next_spi, next_phandle)); });
  }
  if (next_spi > layout.spi_maximum) {
    conflicts.Try([&] {
      throw Error("the devices have " + std::to_string(next_spi) +
                  " interrupts, a guest's GIC has " + std::to_string(layout.spi_maximum) + " SPIs");
    });
  }
  conflicts.ThrowIfAny();
  MakeNamesUnique(planned);

  std::vector<std::uint64_t> mpidrs;
  for (unsigned id = 0; id < config.cpu.count; ++id) mpidrs.push_back(PredictMpidr(id));
  const unsigned ipa_bits = IpaBits(ram, planned);
  return {.config = config,
          .ipa_bits = ipa_bits,
          .ram = ram,
          .mpidrs = std::move(mpidrs),
          .gic = PlanGic(config, limits, layout),
          .spi_count = (next_spi + 31) / 32 * 32,
          .console = layout.console,
          .console_spi = Spi{0},
          .devices = std::move(planned),
          .boot = *planned_boot};
}

}  // namespace microvm
