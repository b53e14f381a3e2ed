// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmm/host/host_device.h"

namespace microvm {

// What the host has counted of interrupts (/proc/interrupts, kernel/irq/proc.c of Linux), over all
// CPUs. Each call reads the file anew; throws std::system_error if it cannot be read.

// Interrupts of the device bound to VFIO. Nothing if they cannot be told from another's: the
// kernel names those of an AMBA device by its type (drivers/vfio/platform/vfio_amba.c), which
// another device bound to VFIO may have too.
std::optional<std::uint64_t> VfioInterrupts(const HostSysfs& sysfs, const std::string& name);

// The kernel's numbers of the interrupts that VFIO has armed for the device; none if they cannot be
// told from another's.
std::vector<unsigned> VfioInterruptNumbers(const HostSysfs& sysfs, const std::string& name);

// Each interrupt of the host's GIC that is in use, by INTID.
std::map<std::uint32_t, std::uint64_t> GicInterrupts(const HostSysfs& sysfs);

// Who has the interrupts of the host's GIC, by INTID, in the kernel's words: "uart-pl011, rtc".
// What nobody has is left out.
std::map<std::uint32_t, std::string> LineUsers(const HostSysfs& sysfs);

}  // namespace microvm
