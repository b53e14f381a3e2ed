// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

class TomlReader;

// What a guest may do to registers of a device.
enum class WindowAccess { kAllow, kReadOnly, kDeny };

// A window of a region's registers, or what holds for all of the region outside its windows.
struct WindowConfig {
  std::uint32_t region = 0;
  std::uint64_t offset = 0;      // in the region
  std::uint64_t size_bytes = 0;  // 0: the rest of the region
  WindowAccess access = WindowAccess::kAllow;
  std::string place = {};  // "file:line:column: platform.window.KEY", for what planning finds wrong
};

// The tables `window` of a [[platform]] table. Windows of one region do not overlap.
std::vector<WindowConfig> ReadWindows(TomlReader& platform);

// The name as it stands in TOML.
std::string_view ToString(WindowAccess access);

}  // namespace microvm
