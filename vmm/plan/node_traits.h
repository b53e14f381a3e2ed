// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// What can be said of a node of the host's tree whatever device it belongs to. Pure.

// Its name without the unit address.
std::string BaseName(const DtNode& node);

// Says something and is nothing: no driver binds to it, no bus reaches it.
bool IsMereData(const DtNode& node);

// Below a MAC's node: with a PHY's compatible, or on the MAC's own bus.
bool IsEthernetPhy(const DtNode& node);

// What says whether a node's DMA is coherent with the CPUs' caches: `dma-coherent` or
// `dma-noncoherent` of the node itself, else of the nearest that its DMA goes through
// (drivers/of/address.c of Linux: of_dma_is_coherent).
struct DmaCoherence {
  DtNode said_by;
  bool coherent;
};
// Nothing if none of them says. Throws Error as DmaPath does.
std::optional<DmaCoherence> FindDmaCoherence(const DeviceTree& tree, const DtNode& node);

}  // namespace microvm
