// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/plan/device_facts.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// Where the guest's RAM goes: at the layout's start of RAM, or else at the next place where every
// device that reaches RAM can be given all of it. Throws Error with the remedy if there is none, or
// if the guest has too few addresses. Pure.
AddressRange PlaceRam(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                      const HostLimits& limits, const PlatformLayout& layout);

}  // namespace microvm
