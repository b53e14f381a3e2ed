// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace microvm::bench {

struct BenchOptions {
  bool help = false;
  std::string device;
  std::string guest;  // "": guest.bin beside the program
  unsigned samples = 2000;
  bool wfi = false;
  std::optional<unsigned> cpu;
  std::optional<unsigned> fifo;
  std::vector<std::string> set;  // lines for the device's [[platform]] table
};

// Throws UsageError. Pure.
BenchOptions ParseBenchOptions(std::span<const char* const> list);

// The machine's configuration (TOML); `cmdline` is the guest's.
std::string MachineConfig(const BenchOptions& options, const std::string& kernel,
                          const std::string& cmdline, bool no_iommu);

extern const char* const kBenchHelp;

}  // namespace microvm::bench
