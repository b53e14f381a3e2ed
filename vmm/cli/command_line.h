// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace microvm {

// The command line is wrong; the text says how.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Command {
  kRun,
  kCheck,
  kPrintPlan,
  kPrintRestart,
  kDumpDtb,
  kDeviceList,
  kDeviceInspect,
  kDeviceBind,
  kDeviceUnbind,
  kDoctor,
  kHelp,
  kVersion,
};

struct CommandLine {
  Command command = Command::kHelp;
  std::string config;                // of a VM; "" where a command takes none
  std::string dtb;                   // kDumpDtb: where to write
  std::optional<std::string> stats;  // kRun: where to write
  std::vector<std::string> devices;  // kDevice...: names
  std::string tree;                  // kDeviceList, kDeviceInspect: a .dtb; "": this host
  bool json = false;                 // kDeviceList, kDeviceInspect
  bool force = false;                // kDeviceBind, kDeviceUnbind: devices in use, too
};

// `list` is the arguments without the program's name. Throws UsageError. Pure.
CommandLine ParseCommandLine(std::span<const char* const> list);

extern const char* const kHelpText;

}  // namespace microvm
