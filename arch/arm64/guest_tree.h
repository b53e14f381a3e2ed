// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// Fresh randomness for one boot of the guest (chosen/rng-seed and chosen/kaslr-seed); empty for a
// tree that can be compared.
using BootSeed = std::span<const std::byte>;

// The guest's device tree, a pure function of its arguments. Throws Error if it exceeds the room
// the plan has for it, or an overlay does not fit it.
std::vector<std::byte> BuildGuestTree(const VmPlan& plan, BootSeed seed);
// The same with only the first `overlays` of the plan's merged.
std::vector<std::byte> BuildGuestTree(const VmPlan& plan, BootSeed seed, std::size_t overlays);

}  // namespace microvm
