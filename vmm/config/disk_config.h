// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace microvm {

class TomlReader;

// A disk of the guest's: a virtio block device over a raw file or a block device.
struct DiskConfig {
  std::filesystem::path path;
  bool readonly = false;
  std::string serial = {};   // up to 20 characters
  std::uint16_t queues = 1;  // 1 to 16
  bool direct = false;       // past the host's page cache
};

// The [[disk]] tables; paths in them are relative to `folder`.
std::vector<DiskConfig> ReadDisks(TomlReader& config, const std::filesystem::path& folder);

}  // namespace microvm
