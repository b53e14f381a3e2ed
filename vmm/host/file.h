// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

// The whole content of a file, sysfs and procfs included; throws std::system_error naming the path.
std::vector<std::byte> ReadFile(const std::string& path);
std::string ReadTextFile(const std::string& path);

// An attribute of sysfs or procfs without the end of its line; "" if it is not there, or says
// nothing ("(null)", or an error where the kernel has no answer).
std::string ReadAttribute(const std::filesystem::path& path);

// What is in a folder, sorted; nothing if it is not there.
std::vector<std::string> NamesIn(const std::filesystem::path& folder);

// The parts of a line or text between separators, those that are empty left out.
std::vector<std::string_view> Split(std::string_view text, char separator);

// Writes `text` with one write(2), as sysfs attributes need it; throws std::system_error naming
// the path.
void WriteAttribute(const std::string& path, std::string_view text);

// Makes or replaces a file with `content`; throws std::system_error naming the path.
void WriteFile(const std::string& path, std::string_view content);

}  // namespace microvm
