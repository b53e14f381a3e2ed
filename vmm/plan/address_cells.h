// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/plan/device_facts.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// Cells of the addresses of copied nodes (Devicetree Specification 2.3.5). Pure.

// `#address-cells` and `#size-cells` that the host's node `from` has from a node above, where nodes
// below it have addresses: in the guest, another one is above. Its own are copied as they are.
std::vector<PlannedProperty> InheritedCells(const DtNode& from);

// Throws ObstacleError if one of them is more than any kernel takes (drivers/of/address.c:
// OF_MAX_ADDR_CELLS), or if the `reg` of a node below a device is no whole number of addresses.
void CheckCells(const DeviceFacts& facts, const DtNode& node, const DtProperty& property);

}  // namespace microvm
