// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/memory/address_allocator.h"
#include "vmm/plan/interrupt_placement.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// The emulated PL061s, each with a page and an SPI. Throws Error if there is no room.
std::vector<PlannedPl061> PlanPl061s(const VmConfig& config, const PlatformLayout& layout,
                                     AddressAllocator& addresses, SpiAllocator& spis,
                                     std::uint32_t& next_phandle);

// The PL031, if there is to be one.
std::optional<PlannedRtc> PlanRtc(const VmConfig& config, const PlatformLayout& layout,
                                  AddressAllocator& addresses, SpiAllocator& spis,
                                  std::uint32_t clock_phandle);

}  // namespace microvm
