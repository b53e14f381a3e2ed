// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/plan/device_facts.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// Kernel, then the tree, then the initrd, each from a new block and in the first range of RAM that
// has room: where there is one range, all of it within the kernel's first gigabyte whatever the
// size of RAM (Documentation/arch/arm64/booting.rst). Throws Error with the remedy. Pure.
PlannedBoot PlanBoot(const BootFacts& facts, const std::vector<AddressRange>& ram,
                     const PlatformLayout& layout);

}  // namespace microvm
