// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/primecell_placement.h"

namespace microvm {
namespace {

constexpr std::uint64_t kRegisterBytes = 0x1000;

}  // namespace

std::vector<PlannedPl061> PlanPl061s(const VmConfig& config, const PlatformLayout& layout,
                                     AddressAllocator& addresses, SpiAllocator& spis,
                                     std::uint32_t& next_phandle) {
  std::vector<PlannedPl061> planned;
  for (std::size_t index = 0; index < config.gpios.size(); ++index) {
    if (config.gpios[index].model != GpioModel::kPl061) continue;
    const std::string name = "gpio" + std::to_string(index);
    const AddressRange registers =
        addresses.Allocate(name, kRegisterBytes, layout.region_alignment);
    planned.push_back({index, name, registers, spis.Next(name), next_phandle, next_phandle + 1});
    next_phandle += 2;
  }
  return planned;
}

std::optional<PlannedRtc> PlanRtc(const VmConfig& config, const PlatformLayout& layout,
                                  AddressAllocator& addresses, SpiAllocator& spis,
                                  std::uint32_t clock_phandle) {
  if (!config.rtc.enabled) return std::nullopt;
  return PlannedRtc{addresses.Allocate("the RTC", kRegisterBytes, layout.region_alignment),
                    spis.Next("the RTC"), clock_phandle};
}

}  // namespace microvm
