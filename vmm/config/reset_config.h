// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

class TomlReader;

// Whether a device must be brought to rest before a guest has it, at reboots and at the end.
enum class ResetPolicy {
  kOptional,  // where the kernel or a recipe can
  kRequired,  // else it is not passed through
  kNone,      // it is left as it is
};

// One step of a recipe: what a device is told so that it stops DMA and interrupts.
struct ResetStep {
  enum class Action { kWrite, kPoll, kDelay };

  Action action = Action::kDelay;
  std::uint32_t region = 0;
  std::uint64_t offset = 0;  // in the region, a multiple of size_bytes
  unsigned size_bytes = 4;   // 1, 2, 4 or 8
  std::uint64_t value = 0;   // to write, or to wait for
  std::uint64_t mask = 0;    // the bits that are written, all others keep; or that are looked at
  std::uint32_t us = 0;      // how long to wait, kPoll at most
  std::string place = {};    // "file:line:column: platform.recipe.offset", for what planning finds
};

struct ResetConfig {
  ResetPolicy policy = ResetPolicy::kOptional;
  std::vector<ResetStep> recipe;
};

// "optional", "required" or "none".
std::string_view ToString(ResetPolicy policy);

// The keys `reset` and `recipe` of a [[platform]] table.
ResetConfig ReadResetConfig(TomlReader& platform);

}  // namespace microvm
