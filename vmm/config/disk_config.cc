// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/disk_config.h"

#include <algorithm>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

// virtio 1.2, 5.2.6: VIRTIO_BLK_T_GET_ID.
constexpr std::size_t kSerialBytes = 20;
// One thread serves them all: more only spare the guest's CPUs waiting for each other.
constexpr std::int64_t kMaximumQueues = 16;

DiskConfig ReadDisk(TomlReader& reader, const std::filesystem::path& folder) {
  DiskConfig disk;
  reader.Require("path");
  if (const auto path = reader.String("path")) {
    if (path->empty()) reader.Report("path", "is empty; it must be a file or a block device");
    disk.path = folder / *path;
  }
  disk.readonly = reader.Bool("readonly").value_or(false);
  disk.serial = reader.String("serial").value_or("");
  const bool printable = std::all_of(disk.serial.begin(), disk.serial.end(),
                                     [](char c) { return c > ' ' && c <= '~'; });
  if (disk.serial.size() > kSerialBytes || !printable) {
    reader.Report("serial", "must be at most 20 visible ASCII characters");
  }
  disk.queues = static_cast<std::uint16_t>(reader.Integer("queues", 1, kMaximumQueues).value_or(1));
  disk.direct = reader.Bool("direct").value_or(false);
  reader.Finish();
  return disk;
}

}  // namespace

std::vector<DiskConfig> ReadDisks(TomlReader& config, const std::filesystem::path& folder) {
  std::vector<DiskConfig> disks;
  for (TomlReader& reader : config.Tables("disk")) {
    const DiskConfig disk = ReadDisk(reader, folder);
    const bool shared = std::any_of(disks.begin(), disks.end(), [&](const DiskConfig& before) {
      return before.path == disk.path && !(before.readonly && disk.readonly);
    });
    if (shared) reader.Report("path", "the same disk twice, and not both times readonly");
    disks.push_back(disk);
  }
  return disks;
}

}  // namespace microvm
