// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/memory_info.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "vmm/host/file.h"

namespace microvm {

std::optional<std::uint64_t> MemoryInfo(const std::filesystem::path& root, std::string_view key) {
  const std::filesystem::path path = root / "proc/meminfo";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  // "MemTotal:       16323872 kB", each on a line.
  const std::string text = "\n" + ReadTextFile(path.string());
  const std::string start = "\n" + std::string(key) + ":";
  const std::size_t found = text.find(start);
  if (found == std::string::npos) return std::nullopt;
  const std::size_t digits =
      std::min(text.find_first_not_of(' ', found + start.size()), text.size());
  std::uint64_t kib = 0;
  const auto parsed = std::from_chars(text.data() + digits, text.data() + text.size(), kib);
  return parsed.ec == std::errc() ? std::optional(kib << 10) : std::nullopt;
}

}  // namespace microvm
