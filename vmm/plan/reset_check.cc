// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/reset_check.h"

#include "vmm/host/error.h"

namespace microvm {
namespace {

void CheckStep(const DeviceFacts& facts, std::size_t index) {
  const ResetStep& step = facts.config.reset.recipe[index];
  if (step.action == ResetStep::Action::kDelay) return;
  const std::string name =
      facts.config.host + ": step " + std::to_string(index + 1) + " of its recipe: ";
  if (step.region >= facts.regions.size()) {
    throw Error(name + "there is no region " + std::to_string(step.region) + ", the device has " +
                std::to_string(facts.regions.size()));
  }
  const std::uint64_t region_bytes = facts.regions[step.region].size_bytes;
  if (step.size_bytes > region_bytes || step.offset > region_bytes - step.size_bytes) {
    throw Error(name + "offset " + Hex(step.offset) + " is outside region " +
                std::to_string(step.region) + " of " + Hex(region_bytes) + " bytes");
  }
}

}  // namespace

void CheckReset(const DeviceFacts& facts) {
  const ResetConfig& reset = facts.config.reset;
  if (reset.policy == ResetPolicy::kRequired && !facts.can_reset && reset.recipe.empty()) {
    throw Error(
        facts.config.host + ": reset = \"required\", but the kernel has no reset function for it",
        "say how it is brought to rest, in [[platform.recipe]] tables, or write "
        "reset = \"optional\"");
  }
  for (std::size_t index = 0; index < reset.recipe.size(); ++index) CheckStep(facts, index);
}

}  // namespace microvm
