// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// Throws Error naming `file` and the node if what an overlay has added to a guest's tree is in the
// way of what was there `before`, or of what it has added itself: registers that lie in memory or
// among those of another node that is not above it, an SPI that another node has, more memory.
// Addresses count as far as the buses above hand them on as they are; reserved memory lies in
// memory. Pure.
void CheckAdditions(const DeviceTree& before, const DeviceTree& after, const std::string& file);

}  // namespace microvm
