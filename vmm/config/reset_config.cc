// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/reset_config.h"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

constexpr std::array<std::string_view, 3> kResetPolicies = {"optional", "required", "none"};
constexpr std::array<const char*, 3> kActions = {"write", "poll", "delay_us"};
// A recipe runs while nothing else does: seconds at most, and no end is worse than an error.
constexpr std::int64_t kMaximumUs = 10'000'000;
constexpr std::uint64_t kMaximumTotalUs = 60'000'000;
constexpr std::uint32_t kDefaultPollUs = 100'000;
constexpr std::size_t kMaximumSteps = 256;

std::uint64_t AllBits(unsigned size_bytes) {
  return size_bytes == 8 ? UINT64_MAX : (std::uint64_t{1} << (8 * size_bytes)) - 1;
}

// A register's value. TOML's integers are signed: a negative one is a mask of 64 bits.
std::uint64_t ReadValue(TomlReader& reader, std::string_view key, unsigned size_bytes,
                        std::uint64_t otherwise) {
  const auto number = reader.Integer(key, INT64_MIN, INT64_MAX);
  if (!number) return otherwise;
  const auto value = static_cast<std::uint64_t>(*number);
  if ((value & ~AllBits(size_bytes)) != 0) {
    reader.Report(key, "does not fit in " + std::to_string(size_bytes) +
                           (size_bytes == 1 ? " byte" : " bytes"));
  }
  return value;
}

void ReadAccess(TomlReader& reader, const char* action, ResetStep& step) {
  step.region = static_cast<std::uint32_t>(reader.Integer("region", 0, UINT32_MAX).value_or(0));
  const auto size = reader.Integer("size", 1, 8).value_or(4);
  if (size != 1 && size != 2 && size != 4 && size != 8) {
    reader.Report("size", "must be 1, 2, 4 or 8 bytes");
  }
  step.size_bytes = static_cast<unsigned>(size);
  reader.Require("offset");
  step.offset = static_cast<std::uint64_t>(reader.Integer("offset", 0, INT64_MAX).value_or(0));
  step.place = reader.Place("offset");
  if (step.offset % step.size_bytes != 0) {
    reader.Report("offset", "must be a multiple of the register's size");
  }
  step.value = ReadValue(reader, action, step.size_bytes, 0);
  step.mask = ReadValue(reader, "mask", step.size_bytes, AllBits(step.size_bytes));
  if (reader.Has("mask") && (step.value & ~step.mask) != 0)
    reader.Report(action, "has bits that 'mask' has not");
}

ResetStep ReadStep(TomlReader& reader) {
  ResetStep step;
  std::size_t actions = 0;
  for (std::size_t index = 0; index < kActions.size(); ++index) {
    if (!reader.Has(kActions[index])) continue;
    step.action = static_cast<ResetStep::Action>(index);
    ++actions;
  }
  if (actions != 1) {
    reader.Report("write", "a step has one of 'write', 'poll' and 'delay_us'");
    return step;
  }
  const char* action = kActions[static_cast<std::size_t>(step.action)];
  if (step.action == ResetStep::Action::kDelay) {
    step.us = static_cast<std::uint32_t>(reader.Integer(action, 1, kMaximumUs).value_or(1));
  } else {
    ReadAccess(reader, action, step);
  }
  if (step.action == ResetStep::Action::kPoll) {
    step.us = static_cast<std::uint32_t>(
        reader.Integer("timeout_us", 1, kMaximumUs).value_or(kDefaultPollUs));
  }
  reader.Finish();
  return step;
}

}  // namespace

std::string_view ToString(ResetPolicy policy) {
  return kResetPolicies[static_cast<std::size_t>(policy)];
}

ResetConfig ReadResetConfig(TomlReader& platform) {
  ResetConfig reset;
  if (const auto policy = platform.Word("reset", kResetPolicies)) {
    reset.policy = static_cast<ResetPolicy>(*policy);
  }
  for (TomlReader& step : platform.Tables("recipe")) reset.recipe.push_back(ReadStep(step));
  if (reset.recipe.size() > kMaximumSteps) {
    platform.Report("recipe", "has more than " + std::to_string(kMaximumSteps) + " steps");
  }
  std::uint64_t total_us = 0;
  for (const ResetStep& step : reset.recipe) total_us += step.us;
  if (total_us > kMaximumTotalUs) {
    platform.Report("recipe", "may wait for more than " +
                                  std::to_string(kMaximumTotalUs / 1'000'000) +
                                  " s in all: give polls shorter timeouts");
  }
  if (!reset.recipe.empty() && reset.policy == ResetPolicy::kNone) {
    platform.Report("recipe", "has no use beside reset = \"none\"");
  }
  return reset;
}

}  // namespace microvm
