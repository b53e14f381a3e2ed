// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

// The whole content of a file, sysfs and procfs included; throws std::system_error naming the path.
std::vector<std::byte> ReadFile(const std::string& path);
std::string ReadTextFile(const std::string& path);

// Writes `text` with one write(2), as sysfs attributes need it; throws std::system_error naming
// the path.
void WriteAttribute(const std::string& path, std::string_view text);

// Makes or replaces a file with `content`; throws std::system_error naming the path.
void WriteFile(const std::string& path, std::string_view content);

}  // namespace microvm
