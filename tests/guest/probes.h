// SPDX-License-Identifier: Apache-2.0
// The accesses of probes.S, as data. Each may be tried anywhere under an ExceptionGuard.
#pragma once

#include <cstdint>
#include <span>

namespace guest {

// In the order of probes.S; plain accesses come by ascending width.
enum class ProbeKind : std::uint64_t {
  kPlainLoad,   // 1, 2, 4, 8 bytes
  kPlainStore,  // 1, 2, 4, 8 bytes
  kOddLoad,
  kOddStore,
  kAtomic,  // stores, too; undefined on a CPU without FEAT_LSE
  kFirmwareCall,
};

struct Probe {
  const char* name;
  std::uint64_t (*run)(std::uint64_t address, std::uint64_t value);
  ProbeKind kind;

  [[nodiscard]] bool stores() const {
    return kind == ProbeKind::kPlainStore || kind == ProbeKind::kOddStore ||
           kind == ProbeKind::kAtomic;
  }
};

extern "C" const Probe probe_table[];
extern "C" const Probe probe_table_end[];

inline std::span<const Probe> AllProbes() { return {probe_table, probe_table_end}; }

// Jumps to `address`.
extern "C" void probe_branch(std::uint64_t address);

}  // namespace guest
