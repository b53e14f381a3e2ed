// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/toml_key.h"

#include <algorithm>

namespace microvm {

std::string TomlKey(std::string_view name) {
  const bool is_bare = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  if (is_bare) return std::string(name);
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') quoted += '\\';
    // A tree's strings can have any other byte too, which no name that means something has.
    quoted += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
  }
  return quoted + '"';
}

}  // namespace microvm
