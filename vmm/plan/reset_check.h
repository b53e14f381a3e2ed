// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/plan/device_facts.h"

namespace microvm {

// Whether a recipe does something to the device, rather than look at it or wait.
bool Writes(const std::vector<ResetStep>& recipe);

// Throws Error if the device cannot be brought to rest as its configuration wants: a reset is
// required and neither the kernel nor a recipe that writes has one, or a step of the recipe lies
// outside its regions, or has another width than `access_bytes` (0: any), which may end the host.
// Pure.
void CheckReset(const DeviceFacts& facts, std::uint32_t access_bytes);

}  // namespace microvm
