// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/window_config.h"

#include <array>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

constexpr std::array<std::string_view, 3> kAccesses = {"allow", "read-only", "deny"};
// Each trapped access of the guest is looked up among them.
constexpr std::size_t kMaximumWindows = 256;

WindowConfig ReadWindow(TomlReader& reader) {
  WindowConfig window;
  window.region = static_cast<std::uint32_t>(reader.Integer("region", 0, UINT32_MAX).value_or(0));
  if (reader.Has("offset") || reader.Has("size")) {
    reader.Require("offset");
    reader.Require("size");
    window.offset = static_cast<std::uint64_t>(reader.Integer("offset", 0, INT64_MAX).value_or(0));
    window.size_bytes = reader.Size("size", 1).value_or(1);
  }
  reader.Require("access");
  if (const auto access = reader.Word("access", kAccesses)) {
    window.access = static_cast<WindowAccess>(*access);
  }
  window.place = reader.Place(reader.Has("offset") ? "offset" : "region");
  reader.Finish();
  return window;
}

bool Overlap(const WindowConfig& one, const WindowConfig& other) {
  if (one.size_bytes == 0 || other.size_bytes == 0) return one.size_bytes == other.size_bytes;
  return one.offset <= other.offset ? other.offset - one.offset < one.size_bytes
                                    : one.offset - other.offset < other.size_bytes;
}

}  // namespace

std::vector<WindowConfig> ReadWindows(TomlReader& platform) {
  std::vector<WindowConfig> windows;
  for (TomlReader& reader : platform.Tables("window")) {
    const WindowConfig window = ReadWindow(reader);
    for (const WindowConfig& before : windows) {
      if (before.region != window.region || !Overlap(before, window)) continue;
      reader.Report(window.size_bytes == 0 ? "region" : "offset",
                    window.size_bytes == 0 ? "the rest of the same region twice"
                                           : "overlaps another window of the same region");
      break;
    }
    windows.push_back(window);
    if (windows.size() > kMaximumWindows) {
      platform.Report("window",
                      "there are more than " + std::to_string(kMaximumWindows) + " of them");
      break;
    }
  }
  return windows;
}

std::string_view ToString(WindowAccess access) {
  return kAccesses[static_cast<std::size_t>(access)];
}

}  // namespace microvm
