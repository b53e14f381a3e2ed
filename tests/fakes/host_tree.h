// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace microvm::fakes {

// A folder of its own, gone with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  TemporaryFolder(TemporaryFolder&&) = delete;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Makes a file, with the folders above it; returns its path.
  std::filesystem::path Write(const std::filesystem::path& name, std::string_view content) const;
  std::filesystem::path Write(const std::filesystem::path& name,
                              std::span<const std::byte> content) const;

 private:
  std::filesystem::path path_;
};

struct HostTreeDevice {
  std::string name = {};
  std::string driver = "vfio-platform";  // "": none bound
  std::optional<unsigned> group = {};
  bool no_iommu = false;
  std::string node = {};  // path in the device tree; "": none
  std::string compatible = {};
  std::string bus = "platform";
  std::optional<unsigned> cdev = {};  // VFIO's character device vfioN
};

// The part of a board's /sys, /proc and /dev that HostSysfs reads, below a folder of its own.
class HostTree {
 public:
  HostTree();

  [[nodiscard]] std::filesystem::path root() const { return folder_.path(); }
  void AddDevice(const HostTreeDevice& device) const;
  void AddDriver(const std::string& bus, const std::string& driver) const;
  // /sys/firmware/fdt.
  void SetFirmwareTree(std::span<const std::byte> blob) const;
  // /sys/firmware/devicetree/base, one folder a node as the kernel shows it.
  void SetLiveTree(std::span<const std::byte> blob) const;
  void SetInterrupts(std::string_view text) const;  // /proc/interrupts
  void SetClockRate(const std::string& clock, std::string_view text) const;
  // A process that has `path` open.
  void AddProcess(unsigned pid, const std::string& name, const std::string& path) const;
  [[nodiscard]] std::string Read(const std::string& path) const;
  std::filesystem::path Write(const std::string& path, std::string_view content) const {
    return folder_.Write(path, content);
  }

 private:
  TemporaryFolder folder_;
};

// A device tree compiled at build time from tests/data/NAME.dts.
std::vector<std::byte> TreeBlob(const std::string& name);
// What a file of tests/data says; with MICROVM_GOLDENS_TO=FOLDER in the environment, `shown` is
// written there under that name, too.
std::string Golden(const std::string& name, const std::string& shown);

}  // namespace microvm::fakes
