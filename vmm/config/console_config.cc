// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/console_config.h"

#include <algorithm>
#include <array>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

constexpr std::array<std::string_view, 2> kKinds = {"pl011", "hvc"};

// Nothing if it is not enabled.
std::optional<ConsoleConfig> ReadConsole(TomlReader& reader, ConsoleKind usual,
                                         const std::filesystem::path& folder) {
  ConsoleConfig console{.kind = usual};
  if (const auto kind = reader.Word("kind", {kKinds.begin(), kKinds.end()})) {
    console.kind = static_cast<ConsoleKind>(*kind);
  }
  const bool enabled = reader.Bool("enabled").value_or(true);
  console.input = reader.Bool("input").value_or(true);
  if (const auto path = reader.String("path")) {
    if (path->empty()) reader.Report("path", "is empty; it must be a file, a FIFO or a terminal");
    console.path = folder / *path;
  }
  reader.Finish();
  return enabled ? std::optional(console) : std::nullopt;
}

void CheckBeside(TomlReader& reader, const ConsoleConfig& console,
                 const std::vector<ConsoleConfig>& before) {
  if (console.kind == ConsoleKind::kPl011 && HasPl011(before)) {
    reader.Report("kind", R"(a second "pl011"; a guest has one, and any number of "hvc")");
  }
  const bool shared = std::any_of(before.begin(), before.end(), [&](const ConsoleConfig& other) {
    return other.path == console.path;
  });
  if (!shared) return;
  reader.Report("path", console.path ? "the same path twice"
                                     : "missing; an earlier console has standard output and input");
}

}  // namespace

std::vector<ConsoleConfig> ReadConsoles(TomlReader& config, const std::filesystem::path& folder) {
  std::vector<ConsoleConfig> consoles;
  if (!config.IsList("console")) {
    TomlReader reader = config.Table("console");
    if (const auto console = ReadConsole(reader, ConsoleKind::kPl011, folder)) {
      consoles.push_back(*console);
    }
    return consoles;
  }
  for (TomlReader& reader : config.Tables("console")) {
    const auto console = ReadConsole(reader, ConsoleKind::kHvc, folder);
    if (!console) continue;
    CheckBeside(reader, *console, consoles);
    consoles.push_back(*console);
  }
  return consoles;
}

bool HasPl011(const std::vector<ConsoleConfig>& consoles) {
  return std::any_of(consoles.begin(), consoles.end(), [](const ConsoleConfig& console) {
    return console.kind == ConsoleKind::kPl011;
  });
}

std::string_view ToString(ConsoleKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

}  // namespace microvm
