// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// What can be said of a node of the host's tree whatever device it belongs to. Pure.

// Its name without the unit address.
std::string BaseName(const DtNode& node);

// Says something and is nothing: no driver binds to it, no bus reaches it.
bool IsMereData(const DtNode& node);

// Below a MAC's node: with a PHY's compatible, or on the MAC's own bus.
bool IsEthernetPhy(const DtNode& node);

}  // namespace microvm
