// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// What in a node tells that the device reads and writes memory by itself: names of properties,
// its own name, its `compatible`, or that it is part of such a device. Empty: nothing does, which
// is no proof. `dmas` is not among them: the master there is a DMA controller, which the guest does
// not have.
std::vector<std::string> SignsOfDma(const DtNode& node);

}  // namespace microvm
