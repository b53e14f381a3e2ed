// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/ram_placement.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "vmm/host/error.h"
#include "vmm/memory/address_allocator.h"

namespace microvm {
namespace {

constexpr std::uint64_t kKernelAlignment = std::uint64_t{2} << 20;  // what a kernel's base must be

bool CanReach(const DeviceFacts& device, GuestAddress start, std::uint64_t size_bytes) {
  return device.mappable.empty() ||
         std::any_of(device.mappable.begin(), device.mappable.end(),
                     [&](const AddressRange& range) { return range.Contains(start, size_bytes); });
}

// The first device that cannot be given this RAM; null if all can.
const DeviceFacts* DeviceInTheWay(const std::vector<DeviceFacts>& devices, std::uint64_t start,
                                  std::uint64_t size_bytes) {
  const auto found = std::find_if(devices.begin(), devices.end(), [&](const DeviceFacts& device) {
    return !CanReach(device, {start}, size_bytes);
  });
  return found == devices.end() ? nullptr : &*found;
}

// Behind the end of something reserved, or where a device's addresses begin.
std::vector<std::uint64_t> Candidates(const std::vector<DeviceFacts>& devices,
                                      std::uint64_t ram_start, std::uint64_t alignment) {
  std::vector<std::uint64_t> starts = {ram_start};
  for (const DeviceFacts& device : devices) {
    for (const AddressRange& range : device.mappable) {
      const auto start = AlignUp(range.start().value, alignment);
      if (start && *start > ram_start) starts.push_back(*start);
    }
  }
  std::sort(starts.begin(), starts.end());
  return starts;
}

// The RAM of a guest whose devices use the host's addresses; empty if there are none.
std::vector<AddressRange> HostsOwn(const std::vector<DeviceFacts>& devices,
                                   const HostLimits& limits) {
  const auto identity = std::find_if(devices.begin(), devices.end(), [](const auto& device) {
    return device.config.dma == DmaMode::kIdentity;
  });
  if (identity == devices.end()) return {};
  for (const AddressRange& range : identity->mappable) {
    if (range.last().value >> limits.ipa_bits != 0) {
      throw Error("memory.identity_file: the host gave memory at " + ToString(range) +
                      ", beyond the " + std::to_string(limits.ipa_bits) +
                      " address bits it gives a guest",
                  "have its huge pages below that: on a host with NUMA nodes, bind them to one");
    }
    const DeviceFacts* obstacle = DeviceInTheWay(devices, range.start().value, range.size_bytes());
    if (obstacle == nullptr) continue;
    throw Error("memory.identity_file: the host gave memory at " + ToString(range) +
                ", which the IOMMU of '" + obstacle->config.host + "' cannot map");
  }
  return identity->mappable;
}

}  // namespace

std::vector<AddressRange> PlaceRam(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                                   const HostLimits& limits, const PlatformLayout& layout) {
  if (auto ram = HostsOwn(devices, limits); !ram.empty()) return ram;
  const std::uint64_t size = config.memory.size_bytes;
  const std::uint64_t end = std::uint64_t{1} << limits.ipa_bits;
  const std::uint64_t room = end - layout.ram_start.value;
  if (size > room) {
    throw Error("memory.size: this host gives a guest " + std::to_string(limits.ipa_bits) +
                    " address bits, which leave " + std::to_string(room >> 20) + " MiB for RAM",
                "make memory.size smaller");
  }
  const std::uint64_t alignment = std::max(kKernelAlignment, config.memory.hugepage_bytes);
  const DeviceFacts* obstacle = nullptr;
  for (const std::uint64_t start : Candidates(devices, layout.ram_start.value, alignment)) {
    if (start > end - size) break;
    const DeviceFacts* found = DeviceInTheWay(devices, start, size);
    if (found == nullptr) return {AddressRange({start}, size)};
    if (obstacle == nullptr) obstacle = found;
  }
  std::string ranges;
  for (const AddressRange& range : obstacle->mappable) {
    ranges += (ranges.empty() ? "" : ", ") + ToString(range);
  }
  throw Error("memory.size: there is no place for " + std::to_string(size >> 20) +
                  " MiB of RAM from " + Hex(layout.ram_start.value) + " on that the IOMMU of '" +
                  obstacle->config.host + "' can map; it maps " + ranges,
              "make memory.size smaller; what is reserved: "
              "cat /sys/kernel/iommu_groups/*/reserved_regions");
}

PlatformLayout LayoutAround(const std::vector<AddressRange>& ram, const VmConfig& config,
                            const HostLimits& limits, const PlatformLayout& layout) {
  const bool v2 = limits.gic == GicVersion::kV2;
  PlatformLayout moved = layout;
  // Of the window for redistributors only as much as there are CPUs for.
  moved.gic_redistributors = AddressRange(layout.gic_redistributors.start(),
                                          config.cpu.count * layout.redistributor_bytes);
  AddressRange& distributor = v2 ? moved.gic_v2_distributor : moved.gic_distributor;
  AddressRange& cpus = v2 ? moved.gic_v2_cpu_interface : moved.gic_redistributors;
  const auto meets_ram = [&](const AddressRange& range) {
    return std::any_of(ram.begin(), ram.end(),
                       [&](const AddressRange& part) { return part.Overlaps(range); });
  };
  if (!meets_ram(distributor) && !meets_ram(cpus) && !meets_ram(moved.console) &&
      std::none_of(layout.device_windows.begin(), layout.device_windows.end(), meets_ram)) {
    return layout;
  }
  const std::uint64_t first = distributor.start().value;
  const AddressRange all({first}, (std::uint64_t{1} << limits.ipa_bits) - first);
  AddressAllocator addresses({all});
  for (const AddressRange& range : ram) addresses.Reserve("the guest's RAM", range);
  const std::array<std::pair<const char*, AddressRange*>, 3> fixed = {
      {{"the GIC's distributor", &distributor},
       {"the GIC's CPUs", &cpus},
       {"the console", &moved.console}}};
  for (const auto& [owner, range] : fixed) {
    if (!meets_ram(*range)) addresses.Reserve(owner, *range);
  }
  for (const auto& [owner, range] : fixed) {
    if (!meets_ram(*range)) continue;
    *range = addresses.Allocate(owner, range->size_bytes(), layout.region_alignment);
  }
  moved.device_windows = {all};
  return moved;
}

}  // namespace microvm
