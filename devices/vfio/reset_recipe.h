// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "devices/vfio/device.h"
#include "vmm/config/reset_config.h"

namespace microvm {

// Runs a recipe's steps on the device's registers, in their order, by reads and writes of its
// descriptor, so that regions that cannot be mapped work too. The steps lie within its regions.
// Throws a chain that names the step: a register that cannot be accessed, a poll that timed out.
void RunRecipe(const VfioDevice& device, const std::vector<ResetStep>& recipe);

}  // namespace microvm
