// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/plan/device_facts.h"

namespace microvm {

// For a device with dma = "identity" (nothing is checked for others): throws Error with the remedy
// if nobody can bring it to rest, and reset = "none" does not say that this is known; or if a bus
// above it translates addresses or lacks some of `ram` (`dma-ranges`, Devicetree Specification 0.4,
// 2.3.9). Pure.
void CheckIdentity(const DeviceFacts& facts, const std::vector<AddressRange>& ram);

}  // namespace microvm
