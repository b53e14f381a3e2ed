// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// The nodes above a device that its DMA goes through, the nearest first, the root last: its buses,
// but for an interconnect named "dma-mem", which leads elsewhere (drivers/of/address.c of Linux:
// __of_get_dma_parent). Throws Error naming the node if they lead round in a circle.
std::vector<DtNode> DmaPath(const DeviceTree& tree, const DtNode& node);

}  // namespace microvm
