// SPDX-License-Identifier: Apache-2.0
#include "bench/native/distribution.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace microvm::bench {
namespace {

std::string Nanoseconds(std::uint64_t ticks, std::uint64_t hertz) {
  const double ns = static_cast<double>(ticks) * 1e9 / static_cast<double>(hertz);
  return std::to_string(std::llround(ns));
}

// Of sorted values, one at least.
std::uint64_t PerMille(const std::vector<std::uint64_t>& sorted, std::size_t rank) {
  const std::size_t position = (sorted.size() * rank + 999) / 1000;
  return sorted[position == 0 ? 0 : position - 1];
}

}  // namespace

std::string Format(const Distribution& distribution, std::uint64_t hertz) {
  if (distribution.ticks.empty()) return "";
  std::vector<std::uint64_t> sorted = distribution.ticks;
  std::sort(sorted.begin(), sorted.end());
  const auto told = [&](std::uint64_t ticks) { return Nanoseconds(ticks, hertz); };
  return distribution.name + " p50=" + told(PerMille(sorted, 500)) +
         " p90=" + told(PerMille(sorted, 900)) + " p99=" + told(PerMille(sorted, 990)) +
         " p99_9=" + told(PerMille(sorted, 999)) + " max=" + told(sorted.back()) +
         " min=" + told(sorted.front()) + " samples=" + std::to_string(sorted.size()) + " unit=ns";
}

std::string InNanoseconds(const std::string& line, std::uint64_t hertz) {
  constexpr std::string_view kStart = "latency name=";
  if (!line.starts_with(kStart)) return "";
  const std::size_t end = line.find(' ', kStart.size());
  std::string told = line.substr(kStart.size(), end - kStart.size());
  for (const char* key : {"p50", "p90", "p99", "p99_9", "max", "min"}) {
    told += std::string(" ") + key + "=" + Nanoseconds(NumberIn(line, key), hertz);
  }
  return told + " samples=" + std::to_string(NumberIn(line, "samples")) + " unit=ns";
}

std::uint64_t NumberIn(const std::string& line, const std::string& key) {
  const std::string start = " " + key + "=";
  const std::size_t at = line.find(start);
  if (at == std::string::npos) return 0;
  std::uint64_t number = 0;
  std::from_chars(line.data() + at + start.size(), line.data() + line.size(), number);
  return number;
}

}  // namespace microvm::bench
