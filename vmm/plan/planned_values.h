// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// Values of properties as a device tree has them: big-endian cells, strings with their NULs. Pure.
std::vector<std::byte> CellBytes(const std::vector<std::uint32_t>& cells);
std::vector<std::byte> StringBytes(const std::vector<std::string>& strings);

// What the plan decided of the device's regions and interrupts, for the guest's tree: two cells
// each for addresses and sizes, three for an interrupt of its GIC.
PlannedProperty RegProperty(const PlannedDevice& device);
PlannedProperty InterruptsProperty(const PlannedDevice& device);

}  // namespace microvm
