// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/ram_placement.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::uint64_t kKernelAlignment = std::uint64_t{2} << 20;  // what a kernel's base must be

bool CanReach(const DeviceFacts& device, GuestAddress start, std::uint64_t size_bytes) {
  return device.mappable.empty() ||
         std::any_of(device.mappable.begin(), device.mappable.end(),
                     [&](const AddressRange& range) { return range.Contains(start, size_bytes); });
}

// The first device that cannot be given this RAM; null if all can.
const DeviceFacts* Obstacle(const std::vector<DeviceFacts>& devices, std::uint64_t start,
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

}  // namespace

AddressRange PlaceRam(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                      const HostLimits& limits, const PlatformLayout& layout) {
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
    const DeviceFacts* found = Obstacle(devices, start, size);
    if (found == nullptr) return {{start}, size};
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

}  // namespace microvm
