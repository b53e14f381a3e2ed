// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmm/inspect/inspection.h"

namespace microvm {

// The [[platform]] table of a device that can be passed through. Pure.
std::string PlatformTable(const Inspection& inspection);

// What there is to choose from for one that is refused only because no IOMMU keeps its DMA from the
// host's memory: tables that are comments, as nobody but the user can say that one of them is
// right. Without the "# " at the start of its lines one is what a configuration has; lines that
// start in "##" stay comments. Pure.
std::string DmaChoices(const Inspection& inspection);

}  // namespace microvm
