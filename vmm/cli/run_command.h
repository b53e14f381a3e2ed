// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>

#include "vmm/cli/command_line.h"
#include "vmm/config/vm_config.h"
#include "vmm/host/error.h"
#include "vmm/host/host_device.h"
#include "vmm/host/host_kernel.h"

namespace microvm {

// The configuration file cannot be read: nothing is known of what is in it.
class UnreadableConfig : public Error {
 public:
  using Error::Error;
};

// The exit status of a program that ends with this error: 2 if what the user wrote is wrong,
// else 1.
int FailureStatus(const std::exception& error);

// Reads and parses a configuration file; throws ConfigError, or a chain whose outermost link is an
// UnreadableConfig.
VmConfig ReadVmConfig(const std::string& path);

// The commands on a VM: run, check, print the plan or the restart policy, dump the tree. Returns
// the exit status; throws ConfigError for a wrong configuration and a chain for a set-up that
// failed.
int RunVmCommand(const CommandLine& line, HostKernel& kernel, const HostSysfs& sysfs);

}  // namespace microvm
