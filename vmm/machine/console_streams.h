// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/config/console_config.h"
#include "vmm/host/host_kernel.h"

namespace microvm {

// The host's end of a console: standard output and input, or, by its path, a file, which is made if
// it is not there and appended to; a FIFO, for output, whether anybody reads it or not; a terminal
// or another character device, for both.
//
// Both give a descriptor that Asio may have, to poll, read and write without blocking; -1 where
// there is none, so that output is dropped and no input comes. They throw a chain.
int OpenConsoleOutput(HostKernel& kernel, const ConsoleConfig& config);
int OpenConsoleInput(HostKernel& kernel, const ConsoleConfig& config);

// Throws what they would for a path; makes no file.
void CheckConsole(HostKernel& kernel, const ConsoleConfig& config);

}  // namespace microvm
