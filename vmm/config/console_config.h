// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace microvm {

class TomlReader;

// What device of the guest's a console is.
enum class ConsoleKind {
  kPl011,  // a UART
  kHvc,    // a virtio console
};

struct ConsoleConfig {
  ConsoleKind kind = ConsoleKind::kPl011;
  bool input = true;
  // Of the host's end: a file, a FIFO, a terminal; nothing: standard output and input.
  std::optional<std::filesystem::path> path = {};
};

// The [console] table, or the [[console]] tables, but those that are not enabled; paths in them are
// relative to `folder`. Without a table: a PL011 on standard output and input.
std::vector<ConsoleConfig> ReadConsoles(TomlReader& config, const std::filesystem::path& folder);

// Whether the guest has a PL011; it has one at most.
bool HasPl011(const std::vector<ConsoleConfig>& consoles);

std::string_view ToString(ConsoleKind kind);

}  // namespace microvm
