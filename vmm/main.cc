// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <span>

#include "vmm/cli/command_line.h"
#include "vmm/cli/device_command.h"
#include "vmm/cli/doctor_command.h"
#include "vmm/cli/run_command.h"
#include "vmm/config/vm_config.h"
#include "vmm/host/error.h"
#include "vmm/host/linux_kernel.h"

namespace microvm {
namespace {

int Run(std::span<const char* const> arguments) {
  const CommandLine line = ParseCommandLine(arguments);
  LinuxKernel kernel;
  const HostSysfs sysfs("/");
  switch (line.command) {
    case Command::kHelp:
      std::fputs(kHelpText, stdout);
      return 0;
    case Command::kVersion:
      std::puts("microvm " MICROVM_VERSION);
      return 0;
    case Command::kDeviceList:
    case Command::kDeviceInspect:
    case Command::kDeviceBind:
    case Command::kDeviceUnbind:
      return RunDeviceCommand(line, sysfs);
    case Command::kDoctor:
      return RunDoctorCommand(line, "/");
    default:
      return RunVmCommand(line, kernel, sysfs);
  }
}

// What was printed and could not be written is no success; a reader that has seen enough knows it.
int Flushed(int status) {
  if (std::fflush(stdout) == 0 || status != 0) return status;
  if (errno != EPIPE) std::perror("microvm: standard output");
  return 1;
}

}  // namespace
}  // namespace microvm

int main(int argc, char** argv) {
  // A reader of our output that goes away, or a limit on files, is a failed write, not our end.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  try {
    return microvm::Flushed(microvm::Run(
        std::span<const char* const>(argv, static_cast<std::size_t>(argc)).subspan(1)));
  } catch (const microvm::UsageError& error) {
    std::fprintf(stderr, "microvm: %s\nsee microvm --help\n", error.what());
    return microvm::FailureStatus(error);
  } catch (const microvm::ConfigError& error) {
    std::fprintf(stderr, "microvm: the configuration is wrong:\n%s\n", error.what());
    return microvm::FailureStatus(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "microvm: %s", microvm::FormatChain(error).c_str());
    return microvm::FailureStatus(error);
  }
}
