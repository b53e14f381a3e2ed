// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/plan/device_facts.h"

namespace microvm {

// Throws Error if the device cannot be brought to rest as its configuration wants: a reset is
// required and neither the kernel nor a recipe has one, or a step of the recipe lies outside its
// regions. Pure.
void CheckReset(const DeviceFacts& facts);

}  // namespace microvm
