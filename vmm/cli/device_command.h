// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/cli/command_line.h"
#include "vmm/host/host_device.h"

namespace microvm {

// `microvm device ...`. Returns the exit status; throws a chain.
int RunDeviceCommand(const CommandLine& line, const HostSysfs& sysfs);

}  // namespace microvm
