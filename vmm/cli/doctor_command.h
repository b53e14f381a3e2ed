// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "vmm/cli/command_line.h"

namespace microvm {

// `microvm doctor`: prints what to change on the host below `root`, for the machine of --config if
// there is one. Returns 0, whatever it finds; throws ConfigError, or a chain.
int RunDoctorCommand(const CommandLine& line, const std::filesystem::path& root);

}  // namespace microvm
