// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/host/host_device.h"
#include "vmm/host/open_files.h"
#include "vmm/inspect/inspection.h"

namespace microvm {

// What the running host says of a device; `not_ready` is what a start with this dma mode would.
LiveFacts ReadLiveFacts(const HostSysfs& sysfs, const OpenFiles& files, const HostDevice& device,
                        DmaMode dma);

}  // namespace microvm
