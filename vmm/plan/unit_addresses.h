// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// Has the nodes below a device's, and below those that come with it, named as the Devicetree
// Specification (0.4, 2.2.1.1) asks and dtc checks, which hosts' trees are not always:
// - a node has a unit address if, and only if, it has `reg`; no two have the same beside each
// other;
// - the only port or endpoint of a graph has no number, if that is 0
//   (Documentation/devicetree/bindings/graph.txt);
// - #address-cells and #size-cells are where an address is written.
// An overlay may add ports and addresses: with `overlays` the last two stay as the host has them.
// Linux matches nodes by compatible, or by the name before the unit address, which stays; only
// where nodes without addresses differ in nothing but that, it becomes part of their names. What
// changes is told in `left_out`; `host_path` is the device's node.
void CorrectUnitAddresses(PlannedDevice& device, const std::string& host_path, bool overlays);

}  // namespace microvm
