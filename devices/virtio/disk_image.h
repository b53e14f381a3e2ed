// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "vmm/host/fd.h"

namespace microvm {

struct DiskOptions {
  std::string path;  // of a file or a block device
  bool readonly = false;
  bool direct = false;  // past the host's page cache
};

// A disk's content on the host: a raw file or a block device, opened and locked. Who writes has it
// alone, readers may share it: two writers, or a writer beside readers, would be two file systems'
// ideas of one disk. The lock (flock(2)) goes with the process, however that ends.
class DiskImage {
 public:
  // Throws a chain with the remedy if it cannot be opened, is somebody else's, or has no sector.
  DiskImage(HostKernel& kernel, const DiskOptions& options);

  [[nodiscard]] const Fd& fd() const { return fd_; }
  // The same with O_DIRECT, for requests at multiples of direct_alignment() in file and memory;
  // nothing without that option.
  [[nodiscard]] const Fd& direct_fd() const { return direct_fd_; }
  [[nodiscard]] std::uint64_t direct_alignment() const { return direct_alignment_; }

  [[nodiscard]] bool readonly() const { return readonly_; }
  // When it was opened; a multiple of the block size.
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // Whether it still has all of that: somebody may have cut a file off.
  [[nodiscard]] bool IsWhole() const noexcept;
  // What a disk is read and written in, and what is not read first to be written in part.
  [[nodiscard]] std::uint32_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] std::uint32_t physical_block_bytes() const { return physical_block_bytes_; }
  // It is in memory (tmpfs): no request waits for a device.
  [[nodiscard]] bool in_memory() const { return in_memory_; }

 private:
  void Lock(HostKernel& kernel);
  void MeasureFile(HostKernel& kernel, std::uint64_t size_bytes, std::uint32_t block_bytes);
  void MeasureDevice();

  bool readonly_;
  bool is_file_ = false;
  bool in_memory_ = false;
  std::uint64_t size_bytes_ = 0;
  std::uint32_t block_bytes_ = 512;
  std::uint32_t physical_block_bytes_ = 512;
  std::uint64_t direct_alignment_ = 512;
  Fd fd_;
  Fd direct_fd_;
};

}  // namespace microvm
