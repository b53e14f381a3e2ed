// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/clock_rates.h"

#include <algorithm>
#include <string>
#include <vector>

#include "vmm/config/closest_word.h"
#include "vmm/config/toml_key.h"
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
  const auto given = facts.config.clocks_hz.find(KeyOf(facts, index));
  return given != facts.config.clocks_hz.end() ? given->second : facts.clocks[index].rate_hz;
}

void CheckClockRates(const DeviceFacts& facts, const std::vector<bool>& dropped) {
  std::string unknown;
  std::string keys;
  std::size_t count = 0;
  for (std::size_t index = 0; index < facts.clocks.size(); ++index) {
    if (dropped[index]) continue;
    const std::optional<std::uint64_t> rate_hz = ClockRate(facts, index);
    if (rate_hz && *rate_hz > UINT32_MAX) {
      throw Error(facts.node_path + ": clocks: " + std::to_string(*rate_hz) +
                  " Hz is more than a fixed-clock node can say");
    }
    const std::string& provider = facts.clocks[index].provider;
    if (rate_hz || provider.empty()) continue;
    const char* const separator = count++ == 0 ? "" : ", ";
    const std::string key = KeyOf(facts, index);
    unknown.append(separator).append("'").append(key).append("' (").append(provider);
    unknown.append(facts.clocks[index].circular ? ", which is made from itself)" : ")");
    keys.append(separator).append(TomlKey(key)).append(" = 100000000");
  }
  if (count == 0) return;
  throw Error(facts.node_path + ": clocks: the " +
                  (count == 1 ? "rate of clock " + unknown + " is"
                              : "rates of clocks " + unknown + " are") +
                  " not known",
              std::string("mount -t debugfs none /sys/kernel/debug, or add ") +
                  (count == 1 ? "its rate" : "their rates") +
                  " in Hz to the [[platform]] table of '" + facts.config.host + "':\nclocks = { " +
                  keys + " }");
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
