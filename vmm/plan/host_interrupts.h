// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/plan/interrupt_line.h"

namespace microvm {

// The interrupts of a node, in their order, which is VFIO's too. One whose controller the tree does
// not tell has none (""). Throws as ReadInterruptLine.
std::vector<InterruptLine> HostInterrupts(const DeviceTree& tree, const DtNode& node);

// For each of `count` interrupts the first that is on the same line, whatever its trigger; mostly
// itself. A driver may
// want a line twice (bindings/net/cdns,macb.yaml), which the kernel gives VFIO only once.
std::vector<std::uint32_t> FirstOfEachLine(const std::vector<InterruptLine>& interrupts,
                                           std::size_t count);

}  // namespace microvm
