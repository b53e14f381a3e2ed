// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/doctor_command.h"

#include <cstdio>
#include <optional>

#include "vmm/cli/run_command.h"
#include "vmm/doctor/findings.h"

namespace microvm {

int RunDoctorCommand(const CommandLine& line, const std::filesystem::path& root) {
  std::optional<VmConfig> config;
  if (!line.config.empty()) config = ReadVmConfig(line.config);
  const HostSettings host = ReadHostSettings(root);
  const std::vector<Finding> findings = Diagnose(host, config ? &*config : nullptr);
  std::fputs(FormatFindings(host, findings).c_str(), stdout);
  return 0;
}

}  // namespace microvm
