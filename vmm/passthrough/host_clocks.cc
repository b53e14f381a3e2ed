// SPDX-License-Identifier: Apache-2.0
#include "vmm/passthrough/host_clocks.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/host/error.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

// Deeper chains of fixed-factor clocks than any board has: a loop.
constexpr int kMaximumDepth = 16;

struct CircularClock : std::exception {};

std::optional<std::uint64_t> ParseRate(std::string_view text) {
  std::uint64_t rate = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (parsed.ec != std::errc() || rate == 0) return std::nullopt;
  return rate;
}

std::optional<std::uint64_t> ReadDebugfsRate(const std::filesystem::path& root,
                                             const std::string& clock) {
  const auto path = root / "sys/kernel/debug/clk" / clock / "clk_rate";
  std::error_code error;
  if (clock.find('/') != std::string::npos || !std::filesystem::exists(path, error)) {
    return std::nullopt;
  }
  return ParseRate(ReadTextFile(path.string()));
}

// The name of a provider's output (bindings/clock/clock.yaml in dt-schema: clock-output-names,
// clock-indices); nothing if the tree does not say, as where two cells select a clock.
std::optional<std::string> OutputName(const DtReference& clock) {
  if (clock.arguments.size() > 1) return std::nullopt;
  const std::vector<std::string> names = clock.target.Strings("clock-output-names");
  std::size_t index = clock.arguments.empty() ? 0 : clock.arguments.front();
  if (const auto indices = clock.target.Property("clock-indices")) {
    const auto cells = indices->Cells();
    if (!cells) return std::nullopt;
    const auto found = std::find(cells->begin(), cells->end(), index);
    index = static_cast<std::size_t>(found - cells->begin());
  }
  if (index >= names.size()) return std::nullopt;
  return names[index];
}

std::optional<std::uint64_t> Rate(const DeviceTree& tree, const DtReference& clock,
                                  const std::filesystem::path& root, int depth) {
  if (clock.target.IsCompatible("fixed-clock")) {
    const auto rate = clock.target.Cell("clock-frequency");
    return rate ? std::optional<std::uint64_t>(*rate) : std::nullopt;
  }
  if (clock.target.IsCompatible("fixed-factor-clock")) {
    if (depth == kMaximumDepth) {
      throw CircularClock();
    }
    const auto parents = ReadReferences(tree, clock.target, "clocks", "#clock-cells");
    const std::uint64_t multiplier = clock.target.Cell("clock-mult").value_or(1);
    const std::uint64_t divider = clock.target.Cell("clock-div").value_or(1);
    if (parents.empty() || !parents.front() || divider == 0) return std::nullopt;
    const auto parent = Rate(tree, *parents.front(), root, depth + 1);
    return parent ? std::optional(*parent * multiplier / divider) : std::nullopt;
  }
  const auto name = OutputName(clock);
  return name ? ReadDebugfsRate(root, *name) : std::nullopt;
}

}  // namespace

std::vector<ClockFacts> ReadClocks(const DeviceTree& tree, const DtNode& node,
                                   const std::filesystem::path& root) {
  std::vector<ClockFacts> clocks;
  const std::vector<std::string> names = node.Strings("clock-names");
  for (const auto& reference : ReadReferences(tree, node, "clocks", "#clock-cells")) {
    ClockFacts facts;
    if (clocks.size() < names.size()) facts.name = names[clocks.size()];
    if (reference) {
      facts.provider = reference->target.path();
      try {
        facts.rate_hz = Rate(tree, *reference, root, 0);
      } catch (const CircularClock&) {
        facts.circular = true;
      }
    }
    clocks.push_back(std::move(facts));
  }
  return clocks;
}

ClocksBelow ReadClocksBelow(const DeviceTree& tree, const DtNode& node,
                            const std::filesystem::path& root) {
  ClocksBelow below;
  for (const DtNode& child : node.children()) {
    if (child.Property("clocks")) below[child.path()] = ReadSoundClocks(tree, child, root);
    below.merge(ReadClocksBelow(tree, child, root));
  }
  return below;
}

DriverRates ReadDriverRates(const std::filesystem::path& root) {
  // name, three counts, rate, accuracy, phase, duty cycle, enabled, consumer, connection: the
  // further consumers of a clock have lines of two words.
  constexpr std::size_t kWholeLine = 11;
  constexpr std::size_t kRate = 4;
  DriverRates rates;
  const std::string summary = ReadAttribute(root / "sys/kernel/debug/clk/clk_summary");
  std::uint64_t rate_hz = 0;
  for (const std::string_view line : Split(summary, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    if (words.size() == kWholeLine) rate_hz = ParseRate(words[kRate]).value_or(0);
    if (words.size() != kWholeLine && words.size() != 2) rate_hz = 0;
    if (rate_hz == 0) continue;
    const std::string_view name = words.back() == "no_connection_id" ? "" : words.back();
    rates[std::string(words[words.size() - 2])][std::string(name)] = rate_hz;
  }
  return rates;
}

std::vector<ClockFacts> ReadSoundClocks(const DeviceTree& tree, const DtNode& node,
                                        const std::filesystem::path& root) {
  try {
    return ReadClocks(tree, node, root);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace microvm
