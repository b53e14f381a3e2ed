// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/doctor/host_settings.h"

namespace microvm {

// What a setting spoils, the worst first.
enum class Harm {
  kStart,    // a machine does not start
  kMaximum,  // the longest that an interrupt takes: milliseconds
  kTail,     // one interrupt in a thousand: tens of microseconds
  kWakeUp,   // of a guest that waits
  kMedian,   // every interrupt
};

struct Finding {
  Harm harm;
  std::string text;  // what is so, and what it costs
  std::string fix;   // commands and kernel options, one to a line
};

// What to change on a host, the worst first; for one machine, if `config` is given, else for
// machines on the host's isolated CPUs. Pure.
std::vector<Finding> Diagnose(const HostSettings& host, const VmConfig* config);

// The findings, for people: numbered, each with the figure it spoils and its fix. Pure.
std::string FormatFindings(const HostSettings& host, const std::vector<Finding>& findings);

}  // namespace microvm
