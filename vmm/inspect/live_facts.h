// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "vmm/fdt/device_tree.h"
#include "vmm/host/host_device.h"
#include "vmm/host/open_files.h"
#include "vmm/inspect/inspection.h"

namespace microvm {

// What the running host says of a device; `not_ready` is what a start with this dma mode would.
LiveFacts ReadLiveFacts(const HostSysfs& sysfs, const OpenFiles& files, const HostDevice& device,
                        DmaMode dma);

// The paths of the nodes that the host has made devices of which nothing of it drives: they have no
// driver but VFIO's, nobody has asked for their lines, and they are nothing that the kernel uses
// without a driver (a syscon, a bus).
std::set<std::string> IdleNodes(const HostSysfs& sysfs, const DeviceTree& tree);

}  // namespace microvm
