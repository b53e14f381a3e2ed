// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/plan/device_facts.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// Where the guest's RAM goes, in ascending order: where the host's own is, if a device has
// dma = "identity"; else one range, at the layout's start of RAM, or at the next place where every
// device that reaches RAM can be given all of it. Throws Error with the remedy if there is none, or
// if the guest has too few addresses. Pure.
std::vector<AddressRange> PlaceRam(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                                   const HostLimits& limits, const PlatformLayout& layout);

// The layout with everything that would lie in `ram` moved to where RAM leaves room for it, and
// device windows all around it; as it is if nothing does. Throws Error if there is no room. Pure.
PlatformLayout LayoutAround(const std::vector<AddressRange>& ram, const VmConfig& config,
                            const HostLimits& limits, const PlatformLayout& layout);

}  // namespace microvm
