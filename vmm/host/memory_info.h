// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace microvm {

// What /proc/meminfo below `root` says of a key (proc(5)), "MemTotal" for one, in bytes; nothing if
// there is no such file or key.
std::optional<std::uint64_t> MemoryInfo(const std::filesystem::path& root, std::string_view key);

}  // namespace microvm
