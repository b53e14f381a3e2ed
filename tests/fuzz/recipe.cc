// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: keys of a [[platform]] table, its recipe and windows among them, held against
// a device's regions. What is accepted must stay inside these, and end.
#include <cstddef>
#include <cstdint>
#include <string>

#include "vmm/config/vm_config.h"
#include "vmm/host/error.h"
#include "vmm/plan/access_windows.h"
#include "vmm/plan/reset_check.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kMostUs = 60'000'000;  // of a whole recipe

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

void CheckSteps(const DeviceFacts& facts) {
  std::uint64_t total_us = 0;
  for (const ResetStep& step : facts.config.reset.recipe) {
    total_us += step.us;
    if (step.action == ResetStep::Action::kDelay) continue;
    Require(step.region < facts.regions.size());
    const std::uint64_t region_bytes = facts.regions[step.region].size_bytes;
    Require(step.offset < region_bytes && step.size_bytes <= region_bytes - step.offset);
  }
  Require(total_us <= kMostUs);
}

// Without a gap from a region's start to its end.
void CheckWindows(const DeviceFacts& facts, std::uint32_t region) {
  const std::vector<AccessWindow> windows = WindowsOfRegion(facts, region);
  std::uint64_t end = 0;
  for (const AccessWindow& window : windows) {
    Require(window.offset == end && window.size_bytes > 0);
    end += window.size_bytes;
  }
  Require(windows.empty() || end == facts.regions[region].size_bytes);
  static_cast<void>(IsAllowed(windows, UINT64_MAX, 8, true));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text =
      "[memory]\nsize = \"2M\"\n[boot]\nkernel = \"k\"\n[[platform]]\nhost = \"d\"\n";
  text.append(reinterpret_cast<const char*>(data), size);
  try {
    DeviceFacts facts;
    facts.regions = {{0x1000, true}, {0x50, false}, {UINT64_MAX, false}};
    facts.can_reset = true;
    for (const PlatformConfig& config : ParseVmConfig(text, "/vm/vm.toml").platform) {
      facts.config = config;
      CheckReset(facts, 0);
      CheckSteps(facts);
      for (std::uint32_t region = 0; region < facts.regions.size(); ++region) {
        CheckWindows(facts, region);
      }
    }
  } catch (const ConfigError&) {
    return 0;
  } catch (const Error&) {
    return 0;
  }
  return 0;
}
