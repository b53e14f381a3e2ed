// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// Fills `device.node`, `device.clocks` and `device.left_out` from the host's node by the rules
// below; `device.regions` and `device.interrupts` are decided already. Clock phandles are taken
// from `next_phandle` on. Throws Error naming the node and the property that cannot cross.
//
// - `reg`, `interrupts`, `clocks` and `interrupt-parent` are written anew.
// - What only the host acts on (power domains, pin control, IOMMU, ...) is left out.
// - What refers to another node that the guest does not have is an error, unless the
//   configuration drops the property.
// - All else is copied.
void MakeDeviceNode(const DeviceFacts& facts, PlannedDevice& device, std::uint32_t& next_phandle);

// The triggers of a node's interrupts, as its specifiers tell them; nothing where the interrupt
// controller's binding is not known.
std::vector<std::optional<Trigger>> HostTriggers(const DeviceTree& tree, const DtNode& node);

}  // namespace microvm
