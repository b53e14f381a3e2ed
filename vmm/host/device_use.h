// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "vmm/host/host_device.h"
#include "vmm/host/open_files.h"

namespace microvm {

// What on the host uses a device, or something below it, in words: a network interface that is up,
// a disk that is mounted, swap or part of another disk, a console of the kernel, a DMA channel with
// a client, a device that would be unbound with it, a device file that a process has open; as far
// as sysfs and procfs show. Empty: taking the device away is safe.
std::vector<std::string> UsesOf(const HostSysfs& sysfs, const OpenFiles& files,
                                const HostDevice& device);

// Throws Error with these uses and the remedy if there are any; of a device without a driver, or
// with VFIO's, the host has none.
void CheckUnused(const HostSysfs& sysfs, const OpenFiles& files, const HostDevice& device);

}  // namespace microvm
