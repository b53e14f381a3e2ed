// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/cpu_set.h"

#include <algorithm>
#include <optional>

#include "vmm/host/parse_number.h"

namespace microvm {
namespace {

constexpr unsigned kMostCpus = 8192;  // of a kernel

std::optional<unsigned> ParseCpu(std::string_view text) {
  const auto cpu = ParseNumber<unsigned>(text);
  return cpu && *cpu < kMostCpus ? cpu : std::nullopt;
}

}  // namespace

CpuSet ParseCpuList(std::string_view text) {
  CpuSet cpus;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t dash = std::min(part.find('-'), part.size());
    const auto first = ParseCpu(part.substr(0, dash));
    const auto last = dash == part.size() ? first : ParseCpu(part.substr(dash + 1));
    if (!first || !last) continue;
    for (unsigned cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

std::string FormatCpuList(const CpuSet& cpus) {
  std::string text;
  for (auto at = cpus.begin(); at != cpus.end();) {
    const unsigned first = *at;
    unsigned last = first;
    while (++at != cpus.end() && *at == last + 1) last = *at;
    text.append(text.empty() ? "" : ",").append(std::to_string(first));
    if (last != first) text.append("-").append(std::to_string(last));
  }
  return text;
}

}  // namespace microvm
