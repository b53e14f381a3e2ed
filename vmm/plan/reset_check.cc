// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/reset_check.h"

#include <algorithm>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// A region that the configuration drops is as good as any: what resets a device may be what no
// guest should have.
void CheckStep(const DeviceFacts& facts, const ResetStep& step, std::uint32_t access_bytes) {
  if (step.action == ResetStep::Action::kDelay) return;
  const std::string place = (step.place.empty() ? "platform.recipe" : step.place) + ": ";
  const std::string region = "region " + std::to_string(step.region);
  if (step.region >= facts.regions.size()) {
    throw Error(place + "there is no " + region + ", '" + facts.config.host + "' has " +
                std::to_string(facts.regions.size()));
  }
  const std::uint64_t region_bytes = facts.regions[step.region].size_bytes;
  if (step.size_bytes > region_bytes || step.offset > region_bytes - step.size_bytes) {
    throw Error(place + std::to_string(step.size_bytes) + " bytes at " + Hex(step.offset) +
                " are not inside " + region + " of '" + facts.config.host + "', which has " +
                Hex(region_bytes));
  }
  if (access_bytes != 0 && step.size_bytes != access_bytes) {
    throw Error(place + "size " + std::to_string(step.size_bytes) +
                    " is not the reg-io-width of '" + facts.config.host + "', which is " +
                    std::to_string(access_bytes),
                "size = " + std::to_string(access_bytes));
  }
}

}  // namespace

bool Writes(const std::vector<ResetStep>& recipe) {
  return std::any_of(recipe.begin(), recipe.end(), [](const ResetStep& step) {
    return step.action == ResetStep::Action::kWrite;
  });
}

void CheckReset(const DeviceFacts& facts, std::uint32_t access_bytes) {
  const ResetConfig& reset = facts.config.reset;
  if (reset.policy == ResetPolicy::kRequired && !facts.can_reset && !Writes(reset.recipe)) {
    throw Error(facts.config.host +
                    ": reset = \"required\", but the kernel has no reset function for it" +
                    (reset.recipe.empty() ? "" : ", and its recipe writes nothing"),
                "say how it is brought to rest, in [[platform.recipe]] tables, or write "
                "reset = \"optional\"");
  }
  for (const ResetStep& step : reset.recipe) CheckStep(facts, step, access_bytes);
}

}  // namespace microvm
