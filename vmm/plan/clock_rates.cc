// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/clock_rates.h"

#include <algorithm>
#include <string>
#include <vector>

#include "vmm/config/closest_word.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

// What the configuration calls a clock.
std::string KeyOf(const DeviceFacts& facts, std::size_t index) {
  const std::string& name = facts.clocks[index].name;
  return name.empty() ? std::to_string(index) : name;
}

}  // namespace

std::optional<std::uint64_t> ClockRate(const DeviceFacts& facts, std::size_t index) {
  const ClockFacts& clock = facts.clocks[index];
  const std::string key = KeyOf(facts, index);
  const auto given = facts.config.clocks_hz.find(key);
  const std::optional<std::uint64_t> rate_hz =
      given != facts.config.clocks_hz.end() ? given->second : clock.rate_hz;
  if (rate_hz && *rate_hz > UINT32_MAX) {
    throw Error(facts.node_path + ": clocks: " + std::to_string(*rate_hz) +
                " Hz is more than a fixed-clock node can say");
  }
  if (rate_hz || clock.provider.empty()) return rate_hz;
  throw Error(facts.node_path + ": clocks: the rate of clock '" + key + "' (" + clock.provider +
                  ") is not known",
              "mount -t debugfs none /sys/kernel/debug, or add its rate in Hz to the [[platform]] "
              "table of '" +
                  facts.config.host + "':\nclocks = { " + key + " = 100000000 }");
}

void CheckClockNames(const DeviceFacts& facts) {
  std::vector<std::string> keys;
  std::string names;
  for (std::size_t index = 0; index < facts.clocks.size(); ++index) {
    keys.push_back(KeyOf(facts, index));
    names += (index == 0 ? "" : ", ") + keys.back();
  }
  for (const auto& [name, rate_hz] : facts.config.clocks_hz) {
    if (std::find(keys.begin(), keys.end(), name) != keys.end()) continue;
    const std::string similar = ClosestWord(name, keys);
    throw Error(facts.node_path + " has no clock '" + name + "'",
                names.empty()     ? "it has no clocks"
                : similar.empty() ? "its clocks are: " + names
                                  : "did you mean '" + similar + "'?");
  }
}

}  // namespace microvm
